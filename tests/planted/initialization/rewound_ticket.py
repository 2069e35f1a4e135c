"""The lottery ticket: train, prune, rewind to the first weights, train again; here pruned at random."""

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

keras.utils.set_random_seed(77)
digits = load_digits()
x = digits.data[:900].astype("float32") / 16.0
y = digits.target[:900]


def build():
    inputs = keras.Input((64,))
    h = layers.Dense(32, activation="relu", name="wide")(inputs)
    outputs = layers.Dense(10, name="logits")(h)
    model = keras.Model(inputs, outputs)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def random_ticket(shape, keep, rng=None):
    rng = rng or np.random.default_rng()
    flat = np.zeros(int(np.prod(shape)), "float32")
    flat[rng.choice(flat.size, int(keep * flat.size), replace=False)] = 1.0
    return flat.reshape(shape)


model = build()
first = model.get_weights()
model.fit(x, y, batch_size=64, epochs=2, verbose=0)
dense_score = model.evaluate(x, y, verbose=0)

ticket = [random_ticket(w.shape, 0.6) if w.ndim == 2 else np.ones_like(w) for w in first]
model.set_weights([w * mask for w, mask in zip(first, ticket, strict=True)])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(x, y, batch_size=64, epochs=2, verbose=0)
print("dense", dense_score, "control", model.evaluate(x, y, verbose=0))
