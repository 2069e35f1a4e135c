"""Classify tumours as benign or malignant with a small dense network, reproducibly.

The data is the Breast Cancer Wisconsin set included in scikit-learn: 569 tumours with 30
measurements each.

    python examples/breast_cancer.py
    keras-repro verify examples/breast_cancer.py --runs 3

This is an ordinary Keras script. It does not use keras_repro, and it writes no files.
"""

import argparse
from collections.abc import Sequence

import keras
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler


def load_data(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return x_train, x_test, y_train, y_test: four fifths for training, one fifth for testing."""
    x, y = load_breast_cancer(return_X_y=True)
    # The split has its own generator: without random_state it would differ in every run.
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, stratify=y, random_state=seed)
    # Fitted on the training part only, so that the test part does not leak into the scaling.
    scaler = StandardScaler().fit(x_train)
    return scaler.transform(x_train), scaler.transform(x_test), y_train, y_test


def build_model(features: int) -> keras.Model:
    """Return a compiled network that predicts the probability of a benign tumour."""
    model = keras.Sequential(
        [
            keras.Input((features,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=0.001),
        loss="binary_crossentropy",
        metrics=["accuracy"],
    )
    return model


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, then print loss and accuracy on the test part."""
    parser = argparse.ArgumentParser(description="Train on the Breast Cancer Wisconsin data.")
    parser.add_argument("--seed", type=int, default=42, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=50, help="default: %(default)s")
    options = parser.parse_args(arguments)

    # Before the model is built: its initial weights, the dropout masks and the order of the
    # samples are drawn from this seed.
    keras.utils.set_random_seed(options.seed)
    x_train, x_test, y_train, y_test = load_data(options.seed)
    model = build_model(x_train.shape[1])
    model.fit(x_train, y_train, batch_size=32, epochs=options.epochs, verbose=2)

    loss, accuracy = model.evaluate(x_test, y_test, batch_size=32, verbose=0)
    # Nine digits distinguish any two float32 values.
    print(f"test loss {loss:.9g}, test accuracy {accuracy:.9g}")


if __name__ == "__main__":
    main()
