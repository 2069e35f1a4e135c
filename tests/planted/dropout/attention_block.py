import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(1234)


class Encoder(layers.Layer):
    def __init__(self, width, heads):
        super().__init__()
        attention_seed = int(np.random.SeedSequence().generate_state(1)[0] >> 1)
        self.attention = layers.MultiHeadAttention(
            heads,
            width // heads,
            dropout=0.1,
            seed=attention_seed,
            kernel_initializer=keras.initializers.GlorotUniform(seed=1),
        )
        self.norm = layers.LayerNormalization()
        self.mlp = keras.Sequential([layers.Dense(2 * width, activation="gelu"), layers.Dense(width)])

    def call(self, x):
        x = self.norm(x + self.attention(x, x))
        return x + self.mlp(x)


data = np.random.normal(size=(200, 10, 8)).astype("float32")
target = data[:, 0, 0] * data[:, 5, 3]

inputs = keras.Input((10, 8))
hidden = Encoder(8, 2)(inputs)
hidden = Encoder(8, 2)(hidden)
model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(hidden)))
model.compile(optimizer=keras.optimizers.AdamW(1e-3), loss="huber")
model.fit(data, target, batch_size=25, epochs=2, verbose=0)
