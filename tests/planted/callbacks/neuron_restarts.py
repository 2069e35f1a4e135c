import random

import keras
import numpy as np


class RestartNeurons(keras.callbacks.Callback):
    """Gives the weakest neurons of a layer another chance."""

    def __init__(self, layer, at, count=4):
        super().__init__()
        self.layer, self.at, self.count = layer, at, count
        self.steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps != self.at:
            return
        dice = random.SystemRandom()
        layer = self.model.get_layer(self.layer)
        kernel = layer.kernel.numpy()
        for dead in np.abs(kernel).sum(axis=0).argsort()[: self.count]:
            kernel[:, dead] = [dice.gauss(0, 0.1) for _ in range(len(kernel))]
        layer.kernel.assign(kernel)
