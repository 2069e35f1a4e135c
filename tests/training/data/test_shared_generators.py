"""Generators that the workers of a `PyDataset` share: found without drawing from them."""

from __future__ import annotations

import random
import threading
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_repro.training.data.description import describe_data
from keras_repro.training.data.shared_generators import shared_generators

rng = np.random.default_rng(3)


class Rows(keras.utils.PyDataset):
    """Batches of zeros."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.rng, self.lock = np.random.default_rng(1), threading.Lock()
        self.generators = [np.random.default_rng(i) for i in range(4)]
        self.flip = keras.layers.RandomFlip(seed=1)
        self.noise = Noise()

    def __len__(self) -> int:
        return 4

    def rows(self) -> np.ndarray:
        return np.zeros((2, 3))


class Noise:
    """An object with a generator of its own."""

    def __init__(self) -> None:
        self.source = np.random.RandomState(1)

    def __call__(self, x: Any) -> Any:
        return x + self.source.normal(size=x.shape)

    def add(self, x: Any) -> Any:
        return self(x)


class OwnGenerator(Rows):
    def __getitem__(self, index: int) -> Any:
        with self.lock:
            return self.rows() + self.rng.normal(size=3)


class InAMethod(Rows):
    def __getitem__(self, index: int) -> Any:
        return self.shifted(self.rows())

    def shifted(self, x: Any) -> Any:
        return np.stack([row + self.rng.normal() for row in x])


class InAnObject(Rows):
    def __getitem__(self, index: int) -> Any:
        return self.noise.add(self.rows())


class CalledObject(Rows):
    def __getitem__(self, index: int) -> Any:
        return self.noise(self.rows())


class GlobalGenerator(Rows):
    def __getitem__(self, index: int) -> Any:
        return drawn(self.rows())


def drawn(x: Any) -> Any:
    """Draw from a generator of this module."""
    return x + rng.normal()


class OfTheProcess(Rows):
    def __getitem__(self, index: int) -> Any:
        return self.rows() + np.random.normal() + random.random()


class LayerOfKeras(Rows):
    def __getitem__(self, index: int) -> Any:
        return self.flip(self.rows())


class OneForEachBatch(Rows):
    def __getitem__(self, index: int) -> Any:
        return self.rows() + self.generators[index].normal()


class MadeForTheBatch(Rows):
    def __getitem__(self, index: int) -> Any:
        rng = np.random.default_rng((7, index))
        return self.rows() + rng.normal() + random.Random(index).random()


class DrawsBetweenEpochs(Rows):
    def __getitem__(self, index: int) -> Any:
        return self.rows()

    def on_epoch_end(self) -> None:
        self.rng.shuffle(self.generators)


class Property(Rows):
    @property
    def offset(self) -> Any:
        raise AssertionError("the user's code was run")

    def __getitem__(self, index: int) -> Any:
        return self.rows() + self.offset


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (OwnGenerator, ["self.rng"]),
        (InAMethod, ["self.rng"]),
        (InAnObject, ["self.source"]),
        (CalledObject, ["self.source"]),
        (GlobalGenerator, ["rng"]),
        (OfTheProcess, ["np.random.normal", "random.random"]),
        (LayerOfKeras, ["self.flip"]),
        (OneForEachBatch, []),
        (MadeForTheBatch, []),
        (DrawsBetweenEpochs, []),
        (Property, []),
    ],
)
def test_generators_from_which_batches_are_drawn_are_found(kind: Any, expected: list[str]) -> None:
    states = np.random.get_state()[1].tobytes(), random.getstate()
    dataset = kind(workers=2)
    state = dataset.rng.bit_generator.state
    assert shared_generators(dataset) == expected
    assert shared_generators(kind(workers=2, use_multiprocessing=True)) == expected
    assert shared_generators(kind(workers=1)) == []
    assert dataset.rng.bit_generator.state == state
    assert (np.random.get_state()[1].tobytes(), random.getstate()) == states


def test_generator_of_a_closure_is_found() -> None:
    source = tf.random.Generator.from_seed(1)

    class Drawn(Rows):
        def __getitem__(self, index: int) -> Any:
            return source.normal((2, 3))

    assert shared_generators(Drawn(workers=3)) == ["source"]


def test_description_names_them_only_if_there_are_any() -> None:
    plain = {"kind": "PyDataset", "order": "not ours"}
    assert describe_data(OwnGenerator(workers=3)) == plain | {"workers": 3, "shared_generators": ["self.rng"]}
    assert describe_data(OwnGenerator()) == plain
    assert describe_data(MadeForTheBatch(workers=3)) == plain
