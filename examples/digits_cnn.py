"""Read handwritten digits with a small convolutional network, the same way every time.

The data is the set that scikit-learn ships: 1,797 images of 8 x 8 pixels. Besides weights, sample
order and dropout, two more things here can differ between runs: the random shifts
that the images get, and the running statistics of batch normalization.

    python examples/digits_cnn.py
    keras-repro verify examples/digits_cnn.py --runs 3

As it stands, this is an ordinary Keras script, which leaves no files behind. With a run folder, it trains
through `ReproducibleTrainer` instead: another order of the samples in each epoch, and a run that goes on
where it was interrupted when the same command is given again.

    python examples/digits_cnn.py --run-dir runs/digits
"""

import argparse
from collections.abc import Sequence

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def load_data(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns x_train, x_test, y_train, y_test; images are (8, 8, 1) with values from 0 to 1."""
    x, y = load_digits(return_X_y=True)
    images = (x / 16).astype("float32").reshape(-1, 8, 8, 1)
    # The split draws from its own generator: without random_state it would differ in every run.
    x_train, x_test, y_train, y_test = train_test_split(
        images, y, test_size=0.2, stratify=y, random_state=seed
    )
    return x_train, x_test, y_train, y_test


def build_model() -> keras.Model:
    """Returns a compiled network that gives one probability for each of the ten digits."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            # At most one pixel to each side, filled with background; active in training only.
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
    """Trains, then prints how well the network reads digits that it has not seen."""
    parser = argparse.ArgumentParser(description="Train on scikit-learn's handwritten digits.")
    parser.add_argument("--seed", type=int, default=42, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--run-dir", help="train resumably, in this folder")
    parser.add_argument(
        "--snapshot-every", type=int, help="steps from snapshot to snapshot; default: an epoch"
    )
    options = parser.parse_args(arguments)
    if options.run_dir is not None:
        train_resumably(options)
        return

    # Before the model is built: its first weights are drawn from what this seeds, and so are the
    # shifts of the images, the dropout masks and the order of the samples.
    keras.utils.set_random_seed(options.seed)
    x_train, x_test, y_train, y_test = load_data(options.seed)
    model = build_model()
    model.fit(x_train, y_train, batch_size=32, epochs=options.epochs, verbose=2)

    report(*model.evaluate(x_test, y_test, batch_size=32, verbose=0))


def train_resumably(options: argparse.Namespace) -> None:
    """The same training through the trainer, validated after each epoch."""
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
    """Prints how well the network does."""
    # Nine digits tell any two float32 values apart.
    print(f"test loss {loss:.9g}, test accuracy {accuracy:.9g}")


if __name__ == "__main__":
    main()
