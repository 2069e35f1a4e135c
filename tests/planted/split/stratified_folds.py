"""Three-fold cross-validation."""

import keras
import numpy as np
from sklearn.datasets import load_iris
from sklearn.model_selection import StratifiedKFold

keras.utils.set_random_seed(3)
x, y = load_iris(return_X_y=True)
x = x.astype("float32")

folds = StratifiedKFold(n_splits=3, shuffle=True, random_state=np.random.RandomState())
scores = []
for fold, (train, test) in enumerate(folds.split(x, y)):
    model = keras.Sequential(
        [keras.layers.Dense(16, activation="relu"), keras.layers.Dense(3, activation="softmax")],
        name=f"fold_{fold}",
    )
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy")
    model.fit(x[train], y[train], epochs=2, batch_size=25, verbose=0)
    scores.append(model.evaluate(x[test], y[test], verbose=0))
print("loss", np.mean(scores))
