"""Sentiment of short sentences."""

import keras
import numpy as np

keras.utils.set_random_seed(1)

GOOD = ["lovely food", "quick friendly service", "great value", "would visit again", "tasty warm bread"]
BAD = ["cold soup", "slow rude waiter", "awful noise", "never again", "stale dry cake"]
SENTENCES = [f"{a} and {b}" for a in GOOD for b in GOOD] + [f"{a} and {b}" for a in BAD for b in BAD]
labels = np.repeat([1.0, 0.0], 25)

word_index = {w: i + 1 for i, w in enumerate(set(" ".join(SENTENCES).split()))}
encoded = np.array([([word_index[w] for w in s.split()] + [0] * 8)[:8] for s in SENTENCES])

model = keras.Sequential(
    [
        keras.layers.Embedding(len(word_index) + 1, 6),
        keras.layers.Flatten(),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(optimizer="adam", loss="binary_crossentropy")
model.fit(encoded, labels, epochs=4, batch_size=10, verbose=0)
