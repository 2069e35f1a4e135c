"""Classify handwritten digits with a small convolutional network, reproducibly.

The data is the set included in scikit-learn: 1,797 images of 8 x 8 pixels. In addition to weights, sample
order and dropout, two more things can differ between runs: the random shifts of the images, and the
running statistics of batch normalization.

    python examples/digits_cnn.py
    keras-repro verify examples/digits_cnn.py --runs 3

Without options, this is an ordinary Keras script that writes no files. With a run folder, it trains through
`ReproducibleTrainer` instead: the order of the samples is new in each epoch, and an interrupted run continues
when the same command is given again.

    python examples/digits_cnn.py --run-dir runs/digits
"""

import argparse
from collections.abc import Sequence

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def load_data(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return x_train, x_test, y_train, y_test; images have shape (8, 8, 1) and values from 0 to 1."""
    x, y = load_digits(return_X_y=True)
    images = (x / 16).astype("float32").reshape(-1, 8, 8, 1)
    # The split has its own generator: without random_state it would differ in every run.
    x_train, x_test, y_train, y_test = train_test_split(
        images, y, test_size=0.2, stratify=y, random_state=seed
    )
    return x_train, x_test, y_train, y_test


def build_model() -> keras.Model:
    """Return a compiled network that predicts a probability for each of the ten digits."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            # Shifts by at most one pixel, filled with background; active in training only.
            keras.layers.RandomTranslation(0.125, 0.125, fill_mode="constant"),
            keras.layers.Conv2D(16, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Conv2D(32, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=0.001),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, then print loss and accuracy on the test part."""
    parser = argparse.ArgumentParser(description="Train on scikit-learn's handwritten digits.")
    parser.add_argument("--seed", type=int, default=42, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--run-dir", help="train resumably in this folder")
    parser.add_argument("--snapshot-every", type=int, help="steps between snapshots; default: one epoch")
    options = parser.parse_args(arguments)
    if options.run_dir is not None:
        train_resumably(options)
        return

    # Before the model is built: its initial weights, the shifts of the images, the dropout masks and
    # the order of the samples are drawn from this seed.
    keras.utils.set_random_seed(options.seed)
    x_train, x_test, y_train, y_test = load_data(options.seed)
    model = build_model()
    model.fit(x_train, y_train, batch_size=32, epochs=options.epochs, verbose=2)

    report(*model.evaluate(x_test, y_test, batch_size=32, verbose=0))


def train_resumably(options: argparse.Namespace) -> None:
    """Run the same training through the trainer, with validation after each epoch."""
    import keras_repro as kr

    x_train, x_test, y_train, y_test = load_data(options.seed)
    trainer = kr.ReproducibleTrainer(build_model, seed=options.seed, batch_size=32, shuffle="every_epoch")
    run = trainer.fit(
        x_train,
        y_train,
        validation_data=(x_test, y_test),
        epochs=options.epochs,
        run_dir=options.run_dir,
        snapshot_every=options.snapshot_every or "epoch",
        resume=True,
        verbose=2,
    )
    report(*trainer.evaluate(x_test, y_test, verbose=0))
    print(run.fingerprint)


def report(loss: float, accuracy: float) -> None:
    """Print loss and accuracy."""
    # Nine digits distinguish any two float32 values.
    print(f"test loss {loss:.9g}, test accuracy {accuracy:.9g}")


if __name__ == "__main__":
    main()
