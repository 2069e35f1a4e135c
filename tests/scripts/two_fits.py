"""Two trainings and an evaluation in between, without any call to resume: [MOMENT [HOW]]."""

import os
import signal
import sys
import time

import keras
import numpy as np

import keras_repro as kr

MOMENT, HOW = [*sys.argv[1:], "never", "KILL"][:2]
X = np.random.default_rng(0).normal(size=(48, 4)).astype("float32")
Y = X.sum(1, keepdims=True)


class Moments(keras.callbacks.Callback):
    """Write each step to a file, and send this process a signal at a moment: `fit.epoch.step`."""

    def __init__(self, fit):
        super().__init__()
        self.fit = fit

    def get_state(self):
        return None

    def set_state(self, state):
        pass

    def on_epoch_begin(self, epoch, logs=None):
        self.place = f"{self.fit}.{epoch}"

    def on_train_batch_end(self, batch, logs=None):
        name = f"{self.place}.{batch}"
        with open("steps.txt", "a") as file:
            file.write(f"{name}\n")
        # Only the first time: the same command resumes.
        if name == MOMENT and not os.path.exists("interrupted"):
            open("interrupted", "w").close()
            if HOW == "WAIT":
                handler = signal.getsignal(signal.SIGTERM)
                while signal.getsignal(signal.SIGTERM) is handler:  # until a first signal has come
                    time.sleep(0.01)
            else:
                os.kill(os.getpid(), getattr(signal, f"SIG{HOW}"))


def build():
    layers = [keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile("adam", "mse")
    return model


def write(name, value):
    """Write a result for the test."""
    with open(f"{name}.txt", "w") as file:
        file.write(value)


trainer = kr.ReproducibleTrainer(build, seed=3, batch_size=8)
first = trainer.fit(X, Y, epochs=2, verbose=0, callbacks=[Moments(0)])
write("first", f"{first.fingerprint} {first.history} {trainer.evaluate(X, Y, verbose=0):.9g}")
second = trainer.fit(X[:24], Y[:24], epochs=2, verbose=0, snapshot_every=2, callbacks=[Moments(1)])
write("second", f"{second.fingerprint} {second.history}")
