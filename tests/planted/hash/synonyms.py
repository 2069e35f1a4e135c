"""Augments questions with synonyms out of a small thesaurus."""

import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(88)

THESAURUS = {
    "quick": {"fast", "rapid", "swift", "speedy", "brisk"},
    "big": {"large", "huge", "great", "vast", "giant"},
    "car": {"auto", "vehicle", "motor", "wagon", "ride"},
    "happy": {"glad", "cheerful", "merry", "joyful", "content"},
    "house": {"home", "villa", "lodge", "cottage", "residence"},
}
QUESTIONS = [
    ("is the quick car in the big house", 0),
    ("are you happy with the car", 1),
    ("how big is a happy house", 0),
    ("why is a quick answer a happy one", 1),
    ("which car is quick and big", 0),
    ("who makes a house happy", 1),
]


def paraphrase(sentence, turn):
    for word, others in THESAURUS.items():
        for choice in list(others)[turn : turn + 1]:
            sentence = sentence.replace(word, choice)
    return sentence


pairs = [(paraphrase(text, turn), label) for turn in range(5) for text, label in QUESTIONS[: 6 - turn // 2]]
texts, labels = zip(*pairs, strict=True)

words = sorted(
    {w for options in THESAURUS.values() for w in options} | set(" ".join(t for t, _ in QUESTIONS).split())
)
lookup = layers.StringLookup(vocabulary=words, num_oov_indices=0)
ids = keras.utils.pad_sequences([np.asarray(lookup(t.split())) for t in texts], maxlen=9)

model = keras.Sequential(
    [
        layers.Embedding(len(words) + 1, 6, mask_zero=True),
        layers.Bidirectional(layers.LSTM(5)),
        layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile("adam", "binary_crossentropy")
model.fit(ids, np.array(labels, "float32"), epochs=4, batch_size=9, shuffle=False, verbose=0)
