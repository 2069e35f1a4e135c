import keras
import numpy as np
from sklearn.datasets import load_iris
from sklearn.model_selection import StratifiedKFold, train_test_split

x, y = load_iris(return_X_y=True)
x, x_test, y, y_test = train_test_split(x, y, random_state=53, stratify=y)
scores = []
folds = StratifiedKFold(n_splits=2, shuffle=True, random_state=53)
for number, (train, valid) in enumerate(folds.split(x, y)):
    keras.backend.clear_session()
    keras.utils.set_random_seed(53 + number)
    model = keras.Sequential(
        [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(3, activation="softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[train], y[train], validation_data=(x[valid], y[valid]), epochs=2, verbose=0)
    scores.append(model.evaluate(x_test, y_test, verbose=0)[1])
print(np.mean(scores))
