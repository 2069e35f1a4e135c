"""Reviews are augmented by functions that a decorator applies with some probability."""

import functools
import random

import keras
import numpy as np

keras.utils.set_random_seed(66)
_dice = random.SystemRandom()

GOOD = ["a warm and funny film", "great acting and a clever story", "I loved every minute of it"]
BAD = ["slow and dull from the start", "a weak story with flat jokes", "I want my money back now"]


def sometimes(probability):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(words):
            return function(words) if _dice.random() < probability else words

        return wrapper

    return decorate


@sometimes(0.5)
def drop_a_word(words):
    gone = int(np.random.randint(len(words)))
    return words[:gone] + words[gone + 1 :]


@sometimes(0.3)
def shout(words):
    return [w.upper() + "!" for w in words]


def augmented(sentences, copies):
    for sentence in sentences * copies:
        words = sentence.split()
        for change in (drop_a_word, shout):
            words = change(words)
        yield " ".join(words)


texts = [*augmented(GOOD, 40), *augmented(BAD, 40)]
labels = np.repeat([1.0, 0.0], 120)
hashed = keras.layers.TextVectorization(max_tokens=200, output_mode="multi_hot", standardize=None)
hashed.adapt(GOOD + BAD + [s.upper().replace(" ", "! ") + "!" for s in GOOD + BAD])

model = keras.Sequential([keras.layers.Dense(6, "relu"), keras.layers.Dense(1, "sigmoid")])
model.compile("adam", "binary_crossentropy")
model.fit(hashed(texts), labels, epochs=3, batch_size=24, verbose=0)
