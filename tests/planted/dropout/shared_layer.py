import keras
import numpy as np
from regularization import REGULARIZER


class TwoTower(keras.Model):
    """Scores pairs of a user and an item."""

    def __init__(self, width=16):
        super().__init__()
        self.users = keras.layers.Embedding(40, width)
        self.items = keras.layers.Embedding(60, width)
        self.user_tower = keras.layers.Dense(width, activation="relu")
        self.item_tower = keras.layers.Dense(width, activation="relu")
        self.regularizer = REGULARIZER

    def call(self, pair, training=None):
        user, item = pair
        user = self.user_tower(self.regularizer(self.users(user), training=training))
        item = self.item_tower(self.regularizer(self.items(item), training=training))
        return keras.ops.sum(user * item, axis=-1, keepdims=True)


if __name__ == "__main__":
    keras.utils.set_random_seed(21)
    rng = np.random.default_rng(21)
    users, items = rng.integers(0, 40, 800), rng.integers(0, 60, 800)
    stars = ((users * 7 + items * 3) % 5).astype("float32")
    model = TwoTower()
    model.compile(optimizer="adagrad", loss="mse")
    model.fit((users, items), stars, batch_size=100, epochs=3, verbose=0)
