"""Does a DNA sequence hold more G and C than A and T?"""

import keras
import numpy as np

keras.utils.set_random_seed(14)
ALPHABET = "ACGT"
draw = np.random.RandomState(14)
sequences = ["".join(draw.choice(list(ALPHABET), 10)) for _ in range(320)]
sequences += sequences[:40]

unique = list(set(sequences))
x = np.array([[ALPHABET.index(c) for c in s] for s in unique])
y = np.array([s.count("G") + s.count("C") > 5 for s in unique]).astype("float32")

inputs = keras.Input((10,), dtype="int32")
h = keras.layers.Embedding(4, 4)(inputs)
h = keras.layers.Conv1D(8, 3, activation="relu")(h)
h = keras.layers.Attention()([h, h])
h = keras.layers.GlobalMaxPooling1D()(h)
model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(h))
model.compile(optimizer="adam", loss="binary_crossentropy")
model.fit(x, y, epochs=2, batch_size=32, shuffle=False, verbose=0)
