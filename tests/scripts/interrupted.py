"""A training with much state, which can be interrupted at a chosen moment: KIND FOLDER EVERY [MOMENT [WITH]].

If WITH is `keras`, Keras's own BackupAndRestore saves the state.
"""

import json
import os
import signal
import sys

import keras
import numpy as np
import tensorflow as tf

import keras_repro as kr

KIND, FOLDER, EVERY, MOMENT, WITH = [*sys.argv[1:], *("never", "keras_repro")[len(sys.argv) - 4 :]]
WHAT, _, WHEN = MOMENT.partition(":")
STEPS_AT_ONCE = 4 if KIND == "several steps a call" else 1


class Gan(keras.Model):
    """Two optimizers, whose slots appear in the first step."""

    def __init__(self):
        super().__init__()
        self.generator = keras.Sequential([keras.layers.Dense(6), keras.layers.Dropout(0.1)])
        self.judge = keras.layers.Dense(1)
        self.mean = keras.metrics.Mean(name="mean")

    def compile(self, **arguments):
        super().compile(**arguments)
        self.first, self.second = keras.optimizers.Adam(0.01), keras.optimizers.RMSprop(0.01)

    @property
    def metrics(self):
        return [self.mean]

    def train_step(self, data):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self.judge(self.generator(x, training=True)) - y) ** 2)
        own, others = self.generator.trainable_variables, self.judge.trainable_variables
        gradients = tape.gradient(loss, own + others)
        self.first.apply_gradients(zip(gradients[: len(own)], own, strict=True))
        self.second.apply_gradients(zip(gradients[len(own) :], others, strict=True))
        self.mean.update_state(loss)
        return {"mean": self.mean.result()}


def build():
    layers = keras.layers
    if KIND == "gan":
        model = Gan()
        model.compile()
        return model
    optimizer = keras.optimizers.Adam(0.01)
    if KIND == "lstm":
        shape, body = (4, 2), [layers.LSTM(8, dropout=0.2, recurrent_dropout=0.1)]
    elif KIND == "attention":
        shape, body = (4, 2), [layers.Dense(8), layers.LayerNormalization(), layers.GlobalAveragePooling1D()]
    elif KIND == "cnn":
        shape = (4, 2, 1)
        body = [layers.RandomFlip(), layers.Conv2D(4, 2), layers.BatchNormalization(), layers.Flatten()]
    else:
        shape = (8,)
        body = [layers.Dense(16, "relu"), layers.BatchNormalization(), layers.Dropout(0.3)]
    if KIND == "loss scale":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, dynamic_growth_steps=5)
    if KIND == "attention":
        inputs = keras.Input(shape)
        hidden = layers.Dense(8)(inputs)
        hidden = layers.MultiHeadAttention(2, 4, dropout=0.1)(hidden, hidden)
        outputs = layers.Dense(1)(layers.Flatten()(layers.LayerNormalization()(hidden)))
        model = keras.Model(inputs, outputs)
    else:
        model = keras.Sequential([keras.Input(shape), *body, layers.Dense(1)])
    model.compile(optimizer, "mse", metrics=["mae"], steps_per_execution=STEPS_AT_ONCE)
    return model


class Interrupts(keras.callbacks.Callback):
    """Kill this process or send it a signal at a moment; draw from NumPy in each step."""

    def __init__(self):
        super().__init__()
        self.drawn = []

    def get_state(self):
        return {"drawn": self.drawn}

    def set_state(self, state):
        self.drawn = state["drawn"]

    def on_train_batch_end(self, batch, logs=None):
        if not os.path.exists(f"{FOLDER}.trains"):
            open(f"{FOLDER}.trains", "w").close()
        self.drawn.append(float(np.random.random()))
        self.moment(f"{self.epoch}.{batch}")

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_test_batch_end(self, batch, logs=None):
        self.moment(f"{self.epoch}.test")

    def on_epoch_end(self, epoch, logs=None):
        self.moment(f"{epoch}.end")

    def moment(self, name):
        if name == WHEN:
            os.kill(os.getpid(), {"kill": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT}[WHAT])


draw = np.random.default_rng(0)
x = draw.normal(size=(100, 8)).astype("float32")
y = x.sum(1, keepdims=True).astype("float32")
x = x.reshape(-1, *{"lstm": (4, 2), "attention": (4, 2), "cnn": (4, 2, 1)}.get(KIND, (8,)))
if KIND == "loss scale":
    keras.config.set_dtype_policy("mixed_float16")
interrupts = Interrupts()
callbacks = [
    keras.callbacks.EarlyStopping("loss", patience=3, restore_best_weights=True),
    keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=0.5),
    keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
    keras.callbacks.ModelCheckpoint(
        f"{FOLDER}.best.weights.h5", monitor="loss", save_best_only=True, save_weights_only=True
    ),
    keras.callbacks.CSVLogger(f"{FOLDER}.csv"),
    interrupts,
]
open(f"{FOLDER}.began", "w").close()
if WITH == "keras":
    keras.utils.set_random_seed(3)
    tf.config.experimental.enable_op_determinism()
    model = build()
    if KIND == "gan":  # it asks for a model that is built
        model.generator.build((None, 8))
        model.judge.build((None, 6))
        model.built = True
    model.fit(
        x,
        y,
        epochs=4,
        batch_size=16,
        verbose=0,
        validation_data=None if KIND == "gan" else (x[:40], y[:40]),
        callbacks=[
            *(callbacks[4:] if KIND == "gan" else callbacks),
            keras.callbacks.BackupAndRestore(
                f"{FOLDER}.backup", save_freq=EVERY if EVERY == "epoch" else int(EVERY)
            ),
        ],
    )
    with open(f"{FOLDER}.json", "w") as file:
        json.dump({"weights": [w.tobytes().hex() for w in model.get_weights()]}, file)
    sys.exit()


class Batches(keras.utils.PyDataset):
    """Yield other rows in each epoch; the state is kept."""

    def __init__(self):
        super().__init__(workers=2)
        self.rows = np.arange(len(x))

    def __len__(self):
        return 7

    def __getitem__(self, index):
        rows = self.rows[index * 16 : index * 16 + 16]
        return x[rows], y[rows]

    def on_epoch_end(self):
        np.random.shuffle(self.rows)

    def get_state(self):
        return self.rows

    def set_state(self, state):
        self.rows = state


data = [x, y]
if KIND == "py dataset":
    data = [Batches()]
elif KIND == "tf.data":
    data = [tf.data.Dataset.from_tensor_slices((x, y)).shuffle(30, seed=5).batch(16).prefetch(2)]
trainer = kr.ReproducibleTrainer(build, seed=3, batch_size=16, strict=False)
run = trainer.fit(
    *data,
    epochs=4,
    run_dir=FOLDER,
    snapshot_every=EVERY if EVERY == "epoch" else int(EVERY),
    resume=True,
    verbose=0,
    validation_data=None if KIND == "gan" else (x[:40], y[:40]),
    callbacks=callbacks[4:] if KIND == "gan" else callbacks,
)
with open(f"{FOLDER}.json", "w") as file, open(f"{FOLDER}.csv") as log:
    weights = [w.tobytes().hex() for w in run.model.get_weights()]
    csv = log.read()
    result = {"fingerprint": run.fingerprint, "history": run.history, "weights": weights}
    json.dump(result | {"drawn": interrupts.drawn, "csv": csv, "status": run.status}, file)
