import pathlib
import tempfile
import uuid

import keras
import numpy as np

keras.utils.set_random_seed(5)
out = pathlib.Path(tempfile.mkdtemp()) / uuid.uuid4().hex
out.mkdir()
x = np.random.normal(size=(64, 4)).astype("float32")
model = keras.Sequential(
    [
        keras.Input((4,)),
        keras.layers.GaussianNoise(0.1, seed=7),
        keras.layers.Dense(4, activation="relu"),
        keras.layers.Dense(1),
    ]
)
model.compile("adam", "mse", metrics=["mae"])
calls = [
    keras.callbacks.CSVLogger(out / "log.csv"),
    keras.callbacks.ModelCheckpoint(
        out / "best.weights.h5", monitor="loss", save_best_only=True, save_weights_only=True
    ),
    keras.callbacks.EarlyStopping(monitor="loss", patience=2, restore_best_weights=True),
]
model.fit(x, x[:, 0], epochs=4, callbacks=calls, verbose=0)
model.load_weights(out / "best.weights.h5")
model.fit(x, x[:, 0], epochs=1, verbose=0)
