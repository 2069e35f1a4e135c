"""A training of a second at most, with a little of everything: `train(folder)`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_repro as kr

EPOCHS = 2
_DATA = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")


def build() -> Any:
    """A model with dropout, batch norm and momentum, run eagerly: tracing takes longer than its few steps."""
    layers = [keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dropout(0.3)]
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", run_eagerly=True)
    return model


def train(folder: Path, *, background: bool = False, epochs: int = EPOCHS) -> dict[str, Any]:
    """Trains, or goes on with the training that `folder` holds.

    Returns:
        Fingerprint, history and weights of the finished run, as JSON can hold them.
    """
    trainer = kr.ReproducibleTrainer(build, seed=7, batch_size=8, shuffle="none", strict=False)
    run = trainer.fit(
        _DATA,
        _DATA.sum(1, keepdims=True),
        epochs=epochs,
        run_dir=folder,
        snapshot_every=2,
        resume=True,
        background=background,
        verbose=0,
    )
    weights = [w.tobytes().hex() for w in run.model.get_weights()]
    return {"fingerprint": run.fingerprint, "history": run.history, "weights": weights}
