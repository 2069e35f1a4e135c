import keras
import numpy as np


class JitteredSensor(keras.utils.PyDataset):
    """Batches of sensor windows with a little measurement noise."""

    def __init__(self, windows, states, batch=20, scale=0.05, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.windows, self.states = windows, states
        self.batch, self.scale = batch, scale
        self.rng = np.random.default_rng(seed)

    def __len__(self):
        return len(self.windows) // self.batch

    def __getitem__(self, index):
        span = slice(index * self.batch, (index + 1) * self.batch)
        batch = self.windows[span]
        noise = self.rng.normal(0, self.scale, batch.shape)
        return (batch + noise).astype("float32"), self.states[span]


keras.utils.set_random_seed(50)
rng = np.random.default_rng(50)
recordings = np.cumsum(rng.normal(size=(300, 40, 2)), axis=1)
states = (recordings[:, -1, 0] > 0).astype("float32")

model = keras.Sequential(
    [
        keras.Input((40, 2)),
        keras.layers.Conv1D(8, 5, strides=2, activation="relu"),
        keras.layers.Bidirectional(keras.layers.GRU(6)),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(optimizer="adam", loss="binary_crossentropy")
model.fit(JitteredSensor(recordings, states), epochs=2, shuffle=False, verbose=0)
