"""Small models of every kind, and data for them. No model sets a seed: the caller does.

As a script, `models.py FOLDER`, it trains all `CASES` and prints the results.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import keras_repro as kr
from keras_repro.training.state.walk import StateTensor, model_state


def data(samples: int = 24, features: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return the same numbers each time: x `(samples, features)`, y `(samples, 1)`, float32."""
    random = np.random.default_rng(7)
    x = random.normal(size=(samples, features)).astype("float32")
    return x, (x.sum(axis=1, keepdims=True) > 0).astype("float32")


def sequences(samples: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return x `(samples, 3, 4)`, y `(samples, 1)`."""
    x, y = data(samples, 12)
    return x.reshape(samples, 3, 4), y


def fresh(seed: int = 5) -> None:
    """Clear the session and set the seed."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)


def compiled(model: Any, **arguments: Any) -> Any:
    """Compile with Adam, which has two slots per weight."""
    arguments = {"optimizer": keras.optimizers.Adam(0.01), "loss": "mse", "jit_compile": False} | arguments
    model.compile(**arguments)
    return model


def sequential() -> Any:
    return compiled(keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(1)]))


def unbuilt_sequential() -> Any:
    return compiled(keras.Sequential([layers.Dense(3), layers.Dropout(0.5), layers.Dense(1)]))


def functional() -> Any:
    inputs = keras.Input((4,))
    hidden = layers.BatchNormalization()(layers.Dense(3)(inputs))
    hidden = layers.Dropout(0.5)(hidden)
    outputs = layers.Dense(1)(layers.Concatenate()([hidden, layers.Dense(2)(inputs)]))
    return compiled(keras.Model(inputs, outputs))


class WithLists(keras.Model):
    """Layers in lists, in dicts and in both."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = [layers.Dense(3), [layers.Dense(3), layers.Dropout(0.5)]]
        self.heads = {"b": layers.Dense(2), "a": [layers.Dense(2)], 1: layers.Dense(2)}
        self._private = layers.Dense(1)

    def call(self, x: Any) -> Any:
        x = self.blocks[1][1](self.blocks[1][0](self.blocks[0](x)))
        return self._private(self.heads["a"][0](x) + self.heads["b"](x) + self.heads[1](x))


def subclassed() -> Any:
    return compiled(WithLists())


def shared_layers() -> Any:
    first, second = keras.Input((4,)), keras.Input((4,))
    shared = layers.Dense(3)
    outputs = layers.Dense(1)(layers.Add()([shared(first), shared(second)]))
    return compiled(keras.Model([first, second], outputs))


class EquallyNamed(keras.Model):
    """Two layers with the same name."""

    def __init__(self) -> None:
        super().__init__()
        self.first = layers.Dense(4, name="same")
        self.second = layers.Dense(4, name="same")

    def call(self, x: Any) -> Any:
        return keras.ops.sum(self.second(self.first(x)), axis=1, keepdims=True)


def equally_named() -> Any:
    return compiled(EquallyNamed())


def bidirectional() -> Any:
    return compiled(
        keras.Sequential([keras.Input((3, 4)), layers.Bidirectional(layers.LSTM(2)), layers.Dense(1)])
    )


def attention() -> Any:
    inputs = keras.Input((3, 4))
    attended = layers.MultiHeadAttention(2, 2, dropout=0.1)(inputs, inputs)
    outputs = layers.Dense(1)(layers.Flatten()(layers.LayerNormalization()(attended)))
    return compiled(keras.Model(inputs, outputs))


def nested() -> Any:
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dropout(0.5)])
    middle = keras.Sequential([inner, layers.Dense(2)])
    inputs = keras.Input((4,))
    return compiled(keras.Model(inputs, layers.Dense(1)(middle(inputs))))


class Gan(keras.Model):
    """Two networks, two optimizers as attributes, and a custom training step."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = keras.Sequential([layers.Dense(3), layers.Dense(4)])
        self.discriminator = keras.Sequential([layers.Dense(3), layers.Dropout(0.2), layers.Dense(1)])
        self.noise = keras.random.SeedGenerator(3)
        self.d_loss = keras.metrics.Mean(name="d_loss")
        self.g_loss = keras.metrics.Mean(name="g_loss")

    def compile(self, **arguments: Any) -> None:
        super().compile(jit_compile=False, **arguments)
        self.d_optimizer = keras.optimizers.Adam(0.01)
        self.g_optimizer = keras.optimizers.RMSprop(0.02)

    @property
    def metrics(self) -> list[Any]:
        return [self.d_loss, self.g_loss]

    def train_step(self, batch: Any) -> dict[str, Any]:
        real = batch[0] if isinstance(batch, tuple) else batch
        noise = keras.random.normal((8, 2), seed=self.noise)
        with tf.GradientTape() as tape:
            fake = self.generator(noise)
            d_loss = tf.reduce_mean(tf.nn.softplus(-self.discriminator(real, training=True)))
            d_loss += tf.reduce_mean(tf.nn.softplus(self.discriminator(fake, training=True)))
        weights = self.discriminator.trainable_variables
        self.d_optimizer.apply_gradients(zip(tape.gradient(d_loss, weights), weights, strict=True))
        with tf.GradientTape() as tape:
            fake = self.generator(noise)
            g_loss = tf.reduce_mean(tf.nn.softplus(-self.discriminator(fake, training=True)))
        weights = self.generator.trainable_variables
        self.g_optimizer.apply_gradients(zip(tape.gradient(g_loss, weights), weights, strict=True))
        self.d_loss.update_state(d_loss)
        self.g_loss.update_state(g_loss)
        return {"d_loss": self.d_loss.result(), "g_loss": self.g_loss.result()}


def gan() -> Any:
    model = Gan()
    model.compile()
    return model


class OwnNoise(layers.Layer):
    """A layer with a `tf.Variable` and a `tf.random.Generator`, which Keras does not list."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = tf.Variable(0.1, trainable=False)
        self.random = tf.random.Generator.from_seed(11)

    def call(self, x: Any, training: bool = False) -> Any:
        return x + self.scale * self.random.normal(tf.shape(x)) if training else x


def own_noise() -> Any:
    return compiled(keras.Sequential([keras.Input((4,)), layers.Dense(3), OwnNoise(), layers.Dense(1)]))


class Settings:
    """A plain object with a variable and a layer."""

    def __init__(self) -> None:
        self.threshold = tf.Variable(0.5, trainable=False)
        self.layer = layers.Dense(4)


class WithPlainObject(keras.Model):
    """A model whose weights are reachable only through a plain object."""

    def __init__(self) -> None:
        super().__init__()
        self.settings = Settings()
        self.head = layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.head(self.settings.layer(x) * self.settings.threshold)


def with_plain_object() -> Any:
    return compiled(WithPlainObject())


class WithSets(keras.Model):
    """Layers in a set, whose order differs between processes."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = {layers.Dense(2) for _ in range(12)}
        self.head = layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.head(sum(layer(x) for layer in self.branches))


@dataclass(frozen=True)
class Case:
    """A model to build, and its training data."""

    build: Callable[[], Any]
    inputs: Callable[[], tuple[Any, Any]] = data


def _two_inputs() -> tuple[Any, Any]:
    x, y = data()
    return [x, x[::-1].copy()], y


CASES = {
    "sequential": Case(sequential),
    "unbuilt sequential": Case(unbuilt_sequential),
    "functional": Case(functional),
    "subclassed": Case(subclassed),
    "shared layers": Case(shared_layers, _two_inputs),
    "equally named": Case(equally_named),
    "bidirectional": Case(bidirectional, sequences),
    "attention": Case(attention, sequences),
    "nested": Case(nested),
    "gan": Case(gan),
    "own noise": Case(own_noise),
    "plain object": Case(with_plain_object),
}


@dataclass(frozen=True)
class Trained:
    """The result of one training."""

    fingerprint: str
    names: list[str]
    keras_names: list[str]


def train(case: Case, run_dir: Path, *, seed: int = 5) -> Trained:
    """Build, train and record a model with a seed; eagerly, since tracing takes longer."""
    keras.utils.set_random_seed(seed)
    model = case.build()
    model.run_eagerly = True
    x, y = case.inputs()
    callback = kr.DeterminismCallback(run_dir)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[callback])
    state = model_state(model)
    return Trained(
        callback.fingerprint, [f"{t.section} {t.name}" for t in state], [t.keras_name for t in state]
    )


def flip_bit(variable: Any) -> None:
    """Flip the lowest bit of a variable's first element; a second call restores it."""
    values = np.array(variable.numpy())
    values.reshape(-1)[:1].view(np.uint8)[0] ^= 1
    variable.assign(values)


def named(model: Any, name: str) -> StateTensor:
    """Return the tensor of a model's state with a name."""
    return next(t for t in model_state(model) if t.name == name)


def weights(model: Any) -> list[bytes]:
    """Return the bytes of all variables of a model and its optimizer."""
    return [t.variable.numpy().tobytes() for t in model_state(model) if t.section != "metrics"]


def main(arguments: Sequence[str]) -> None:
    """Shift the counters in Keras's names, then train every case."""
    for _ in range(3):
        sequential()
        layers.Dropout(0.5)
        layers.LSTM(2)
    done = {name: vars(train(case, Path(arguments[0]) / name)) for name, case in CASES.items()}
    print(json.dumps(done))


if __name__ == "__main__":
    main(sys.argv[1:])
