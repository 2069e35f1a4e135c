"""The models of `make portable-test`, each with an optimizer, and data from raw bits.

The MLP has a case for every optimizer of the table. The transformer block has both gelus.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, optimizers

SEED = 7
BATCH = 16


@dataclass(frozen=True)
class Case:
    """A model with its optimizer, loss and data.

    Attributes:
        build: returns the model, not compiled.
        optimizer: returns the optimizer.
        loss: as for `compile`.
        shape: of one sample.
        classes: number of classes; 0 if the target is the sample itself.
    """

    build: Callable[[], keras.Model]
    optimizer: Callable[[], Any]
    loss: str
    shape: tuple[int, ...]
    classes: int = 4

    def compiled(self) -> keras.Model:
        """The model, compiled."""
        model = self.build()
        metrics = ["accuracy"] if self.classes else []
        model.compile(optimizer=self.optimizer(), loss=self.loss, metrics=metrics)
        return model

    def data(self, samples: int = 40) -> tuple[np.ndarray, np.ndarray]:
        """Samples and targets: the same on every machine, from whole numbers and exact divisions."""
        bits = np.random.Generator(np.random.PCG64(SEED))
        x = bits.integers(-1024, 1024, (samples, *self.shape)).astype("float32") / np.float32(512)
        return x, bits.integers(0, self.classes, samples) if self.classes else x


def _mlp() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((20,)),
            layers.Dense(32, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(16, activation="sigmoid"),
            layers.Dense(4, activation="softmax"),
        ]
    )


def _cnn() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(8, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax"),
        ]
    )


def _depthwise() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("silu"),
            layers.SeparableConv2D(12, 3, padding="same", activation="relu"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )


def _lstm() -> keras.Model:
    return keras.Sequential(
        [keras.Input((9, 5)), layers.LSTM(12), layers.Dense(4, activation="softmax")],
    )


def _transformer() -> keras.Model:
    inputs = keras.Input((8, 16))
    x = layers.LayerNormalization()(inputs)
    x = layers.Add()([inputs, layers.MultiHeadAttention(2, 8, dropout=0.1)(x, x)])
    y = layers.LayerNormalization()(x)
    y = layers.Dense(32, activation="gelu")(y)
    y = layers.Dense(32, activation=_gelu_by_tanh)(y)
    x = layers.Add()([x, layers.Dense(16)(y)])
    outputs = layers.Dense(4, activation="softmax")(layers.GlobalAveragePooling1D()(x))
    return keras.Model(inputs, outputs)


def _gelu_by_tanh(x: Any) -> Any:
    return keras.activations.gelu(x, approximate=True)


def _autoencoder() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(4, 3, strides=2, padding="same"),
            layers.BatchNormalization(),
            layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(1, 3, strides=2, padding="same"),
        ]
    )


_CLASSES = "sparse_categorical_crossentropy"

# Of the table: each is tried on the first model, and one with each of the others.
_OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "adam": lambda: optimizers.Adam(0.01),
    "adamw": lambda: optimizers.AdamW(0.01, global_clipnorm=1.0),
    "sgd": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "rmsprop": lambda: optimizers.RMSprop(0.005),
    "adafactor": lambda: optimizers.Adafactor(0.05),
}

_MLP = {
    name if name == "adam" else f"mlp-{name}": Case(_mlp, make, _CLASSES, (20,))
    for name, make in _OPTIMIZERS.items()
}

CASES = {
    "mlp": _MLP.pop("adam"),
    "cnn": Case(_cnn, _OPTIMIZERS["sgd"], _CLASSES, (12, 12, 3)),
    "depthwise": Case(_depthwise, _OPTIMIZERS["rmsprop"], _CLASSES, (12, 12, 3)),
    "lstm": Case(_lstm, _OPTIMIZERS["adafactor"], _CLASSES, (9, 5)),
    "transformer": Case(_transformer, _OPTIMIZERS["adamw"], _CLASSES, (8, 16)),
    "autoencoder": Case(_autoencoder, lambda: optimizers.Adam(0.01, clipnorm=0.5), "mse", (12, 12, 1), 0),
    **_MLP,
}
"""By name: `MODEL` or `MODEL-OPTIMIZER`. The first is the one that runs in the test suite."""
