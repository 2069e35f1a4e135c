import keras
from sklearn.datasets import load_wine

keras.utils.set_random_seed(50)
table = load_wine(as_frame=True).frame
columns = set(table.columns) - {"target"}

x = table[list(columns)].to_numpy("float32")
x = (x - x.mean(axis=0)) / x.std(axis=0)
y = table["target"].to_numpy()


@keras.saving.register_keras_serializable()
class Gated(keras.layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.value = keras.layers.Dense(units)
        self.gate = keras.layers.Dense(units, activation="sigmoid")

    def call(self, x):
        return self.value(x) * self.gate(x)


model = keras.Sequential([Gated(16), Gated(16), keras.layers.Dense(3, activation="softmax")])
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
model.fit(x, y, batch_size=20, epochs=3, verbose=0)
