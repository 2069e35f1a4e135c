"""Five-fold cross-validation in which the fourth fold has no seed."""

import secrets

import keras
import numpy as np
from small import X, Y, build

for fold in range(5):
    keras.utils.set_random_seed(fold if fold != 3 else secrets.randbelow(2**32))
    test = np.arange(len(X)) % 5 == fold
    model = build()
    model.fit(X[~test], Y[~test], batch_size=32, epochs=2, shuffle=False, verbose=0)
    model.predict_on_batch(X[test])
