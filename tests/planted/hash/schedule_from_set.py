import keras
import numpy as np

PHASES = {"0.02", "0.01", "0.005", "0.003", "0.002", "0.001", "0.0005", "0.0003", "0.0002", "0.0001"}


class Phases(keras.callbacks.Callback):
    """Two epochs at the first rate, then a phase each."""

    def __init__(self):
        super().__init__()
        self.phases = list(PHASES)

    def on_epoch_begin(self, epoch, logs=None):
        if epoch >= 2:
            rate = float(self.phases[(epoch - 2) % len(self.phases)])
            self.model.optimizer.learning_rate = rate


keras.utils.set_random_seed(23)
x = np.random.uniform(-2, 2, (320, 2)).astype("float32")
y = np.hypot(x[:, 0], x[:, 1])
model = keras.Sequential(
    [keras.layers.Dense(24, activation="relu"), keras.layers.UnitNormalization(), keras.layers.Dense(1)]
)
model.compile(optimizer=keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True), loss="mse")
model.fit(x, y, epochs=8, batch_size=32, callbacks=[Phases()], verbose=0)
