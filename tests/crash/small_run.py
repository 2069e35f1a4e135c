"""A training of at most one second with many kinds of state: `train(folder)`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_repro import ReproducibleTrainer  # loaded with the module, before a test patches anything

EPOCHS = 2
_DATA = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")


def build() -> Any:
    """Return a model with dropout, batch norm and momentum. It runs eagerly: tracing takes longer."""
    layers = [keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dropout(0.3)]
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", run_eagerly=True)
    return model


def train(folder: Path, *, background: bool = False, epochs: int = EPOCHS) -> dict[str, Any]:
    """Train, or resume the training in `folder`.

    Returns:
        Fingerprint, history and weights of the finished run, for JSON.
    """
    trainer = ReproducibleTrainer(build, seed=7, batch_size=8, shuffle="none", strict=False)
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
