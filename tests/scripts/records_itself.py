"""Use keras_repro in the script, with run folders of fixed names, and read them by these names."""

import keras
from small import X, Y, build

import keras_repro as kr

keras.utils.set_random_seed(4)
# Made before the model: nothing of Keras has been called yet.
callbacks = [kr.DeterminismCallback(f"{fold}/run") for fold in ("first", "second")]
model = build()
for callback in callbacks:
    model.fit(X, Y, batch_size=32, epochs=1, callbacks=[callback], verbose=0)
trainer = kr.ReproducibleTrainer(build, seed=4, batch_size=32)
run = trainer.fit(X, Y, epochs=1, run_dir="trained", verbose=0)
again = trainer.fit(X, Y, epochs=1, reference="trained", on_divergence="raise", verbose=0)
print(kr.compare("trained", run.ledger).verdict, kr.compare("first/run", "second/run").verdict)
assert run.fingerprint == again.fingerprint
