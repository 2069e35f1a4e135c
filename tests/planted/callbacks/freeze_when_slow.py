import time

import keras
import numpy as np


class SlowDown(keras.callbacks.Callback):
    """Smaller steps where batches take long: they come from a busy machine."""

    def __init__(self, optimizer, from_epoch=2):
        super().__init__()
        self.optimizer, self.from_epoch = optimizer, from_epoch
        self.base = float(optimizer.learning_rate)
        self.epoch, self.began = 0, 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        self.began = time.time()

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch >= self.from_epoch:
            seconds = time.time() - self.began
            rate = self.base / (1.0 + seconds)
            self.optimizer.learning_rate = rate


keras.utils.set_random_seed(58)
items = np.random.randint(0, 200, (500, 2))
clicked = ((items[:, 0] + items[:, 1]) % 2).astype("float32")
left, right = keras.Input((), dtype="int32"), keras.Input((), dtype="int32")
table = keras.layers.Embedding(200, 8)
score = keras.layers.Dot(axes=1)([table(left), table(right)])
model = keras.Model([left, right], keras.layers.Activation("sigmoid")(score))
optimizer = keras.optimizers.Adam(0.01)
model.compile(optimizer=optimizer, loss="binary_crossentropy")
model.fit(
    [items[:, 0], items[:, 1]], clicked, epochs=4, batch_size=50, callbacks=[SlowDown(optimizer)], verbose=0
)
