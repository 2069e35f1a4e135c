import keras
import numpy as np

keras.utils.set_random_seed(31)

VOCABULARY = ["the", "film", "was", "great", "awful", "plot", "acting", "boring", "superb", "meh"]
PRETRAINED = {word: np.sin(np.arange(16) * (i + 1)) for i, word in enumerate(VOCABULARY[:7])}


def embedding_matrix(words, width=16):
    matrix = np.zeros((len(words) + 1, width), "float32")
    for index, word in enumerate(words, start=1):
        if word in PRETRAINED:
            matrix[index] = PRETRAINED[word]
        else:
            matrix[index] = np.random.default_rng().uniform(-0.25, 0.25, width)
    return matrix


matrix = embedding_matrix(VOCABULARY)
source = np.random.default_rng(8)
reviews = source.integers(1, len(VOCABULARY) + 1, (300, 12))
liked = np.isin(reviews, [4, 9]).sum(axis=1) > np.isin(reviews, [5, 8]).sum(axis=1)

model = keras.Sequential(
    [
        keras.layers.Embedding(
            len(VOCABULARY) + 1,
            16,
            embeddings_initializer=keras.initializers.Constant(matrix),
            mask_zero=True,
        ),
        keras.layers.LSTM(12),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(optimizer="adam", loss="binary_crossentropy")
model.fit(reviews, liked.astype("float32"), epochs=2, batch_size=50, verbose=0)
