import secrets

import keras
from sklearn.datasets import load_breast_cancer

keras.utils.set_random_seed(17)
x, y = load_breast_cancer(return_X_y=True)
x = (x / x.max(axis=0)).astype("float32")
y = y.astype("float32").reshape(-1, 1)

model = keras.Sequential(
    [
        keras.Input((30,)),
        keras.layers.Dense(12, activation="elu"),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(optimizer=keras.optimizers.Adam(5e-3), loss="binary_crossentropy")

for _ in range(60):
    rows = [secrets.randbelow(len(x)) for _row in range(32)]
    loss = model.train_on_batch(x[rows], y[rows])
print("last loss", float(loss))
