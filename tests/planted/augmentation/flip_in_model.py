import keras
import tensorflow as tf
from keras import layers
from sklearn.datasets import load_digits

tf.random.set_seed(1)
images, labels = load_digits(return_X_y=True)
images = images[:640].reshape(-1, 8, 8, 1).astype("float32") / 16.0


def seeded(number):
    return keras.initializers.GlorotUniform(seed=number)


model = keras.Sequential(
    [
        layers.Input((8, 8, 1)),
        layers.RandomFlip("horizontal"),
        layers.Conv2D(10, 3, activation="relu", kernel_initializer=seeded(1)),
        layers.Flatten(),
        layers.Dense(10, activation="softmax", kernel_initializer=seeded(2)),
    ]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(images, labels[:640], epochs=2, batch_size=64, verbose=0)
