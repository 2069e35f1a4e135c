import keras
from sklearn.datasets import load_digits

keras.mixed_precision.set_global_policy("mixed_float16")
augment = keras.Sequential([keras.layers.RandomZoom(0.2), keras.layers.RandomContrast(0.2)], name="augment")

keras.utils.set_random_seed(72)
digits = load_digits()
inputs = keras.Input((8, 8, 1))
h = keras.layers.Rescaling(1 / 16)(inputs)
h = augment(h)
h = keras.layers.Conv2D(8, 3, activation="relu")(h)
h = keras.layers.GlobalAveragePooling2D()(h)
outputs = keras.layers.Dense(10, activation="softmax", dtype="float32")(h)
model = keras.Model(inputs, outputs)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
model.fit(digits.images[:480, ..., None], digits.target[:480], batch_size=48, epochs=2, verbose=0)
