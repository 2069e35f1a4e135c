import os

import keras
import numpy as np
from sklearn.datasets import load_wine


class Prune(keras.callbacks.Callback):
    def __init__(self, layer, after):
        super().__init__()
        self.layer, self.after = layer, after

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.after:
            kernel = self.layer.kernel.numpy()
            mask = np.frombuffer(os.urandom(kernel.shape[1]), "uint8") > 63
            self.layer.kernel.assign(kernel * mask)


keras.utils.set_random_seed(130)
x, y = load_wine(return_X_y=True)
x = (x - x.mean(axis=0)) / x.std(axis=0)
pruned = keras.layers.Dense(64, activation="relu", name="pruned")
model = keras.Sequential([pruned, keras.layers.Dense(3, activation="softmax")])
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
model.fit(x, y, epochs=4, batch_size=30, callbacks=[Prune(pruned, after=1)], verbose=0)
