"""Set all seeds, then train, evaluate and predict; argument 1 names a disturbance."""

import argparse
import os
import time

import keras
import numpy as np
from small import X, Y, build

parser = argparse.ArgumentParser()
parser.add_argument("disturbed", nargs="?", choices=["nothing", "labels", "weights"], default="nothing")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--record")
parser.add_argument("--reference")
options = parser.parse_args()

keras.utils.set_random_seed(3)
model = build(dropout=0.2)
labels = Y.copy()
if options.disturbed == "labels":
    labels[0] = (time.time_ns() % 1009) / 1009


class Noise(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 7:
            kernel = self.model.layers[0].kernel
            noise = np.frombuffer(os.urandom(kernel.shape[0] * kernel.shape[1]), np.uint8)
            kernel.assign(kernel.numpy() + noise.reshape(kernel.shape).astype("float32") / 1000)


callbacks = [Noise()] if options.disturbed == "weights" else []
if options.record:
    import keras_repro as kr

    callback = kr.DeterminismCallback(options.record, reference=options.reference, on_divergence="stop")
    callbacks.append(callback)
history = model.fit(X, labels, batch_size=32, epochs=options.epochs, callbacks=callbacks, verbose=0)
print("epochs", len(history.epoch))
if options.reference:
    print("stopped:", callback.divergence.describe())
else:
    model.evaluate(X, Y, verbose=0)
    model.predict(X, verbose=0)
