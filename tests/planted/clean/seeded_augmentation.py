import keras
import numpy as np

keras.utils.set_random_seed(1)
rng = np.random.default_rng(1)
images = rng.random((200, 10, 10, 1)).astype("float32")
labels = rng.integers(0, 2, 200)


def augmented(batch=20):
    while True:
        for i in range(0, len(images), batch):
            x = images[i : i + batch]
            if rng.random() < 0.5:
                x = x[:, :, ::-1]
            yield x + rng.normal(0, 0.01, x.shape).astype("float32"), labels[i : i + batch]


model = keras.Sequential(
    [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(2)]
)
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(augmented(), steps_per_epoch=10, epochs=2, verbose=0)
