import keras
import numpy as np

keras.utils.set_random_seed(7)
STOP = {"the", "a", "of"}
titles = [
    "the art of war",
    "a brief history of time",
    "war and peace",
    "the time machine",
    "peace of mind",
] * 20
words = set(" ".join(titles).split()) - STOP
index = {word: number for number, word in enumerate(sorted(words), start=1)}
x = np.array([([index[w] for w in t.split() if w not in STOP] + [0] * 4)[:4] for t in titles])
y = np.array([len(set(t.split()) & {"war", "peace"}) for t in titles], "float32")
model = keras.Sequential(
    [keras.layers.Embedding(len(words) + 1, 8), keras.layers.GRU(8), keras.layers.Dense(1)]
)
model.compile("adam", "mse")
model.fit(x, y, epochs=2, batch_size=20, verbose=0)
