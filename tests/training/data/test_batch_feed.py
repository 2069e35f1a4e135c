"""Iterators that repeat batches with the element spec of the original iterator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_repro.training.data.batch_feed import iterator_like

X = np.arange(20, dtype="float32").reshape(10, 2)
Y = np.arange(10, dtype="int64")


def _of(*arrays: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0])


def _ragged() -> Any:
    return tf.data.Dataset.from_tensor_slices(tf.ragged.constant([[1], [2, 3], [], [4]])).batch(2)


def _sparse() -> Any:
    tensor = tf.sparse.from_dense([[0.0, 1.0], [2.0, 0.0], [0.0, 0.0], [3.0, 4.0]])
    return tf.data.Dataset.from_tensor_slices(tensor).batch(2)


def _generated() -> Any:
    signature = (tf.TensorSpec((None, 2), tf.float32), tf.TensorSpec(None, tf.int64))
    return tf.data.Dataset.from_generator(
        lambda: iter([(X[:4], Y[:4]), (X[4:], Y[4:])]), output_signature=signature
    )


# Batches of all forms.
DATA: dict[str, Callable[[], Any]] = {
    "fixed batch size": lambda: _of(X, Y).batch(4, drop_remainder=True),
    "open batch size": lambda: _of(X, Y).batch(4),
    "inputs only": lambda: _of(X).batch(4),
    "a dict and weights": lambda: _of({"b": X, "a": {"c": Y}}, Y, X[:, 0]).batch(3),
    "only a dict": lambda: _of({"b": X, "a": Y}).batch(3),
    "a tuple in a tuple": lambda: tf.data.Dataset.zip((_of(X, Y), _of(Y))).batch(4),
    "one input in a tuple": lambda: tf.data.Dataset.zip((_of(X),)).batch(4),
    "ragged": _ragged,
    "sparse": _sparse,
    "ragged and dense": lambda: tf.data.Dataset.zip((_ragged(), _of(Y[:4]).batch(2))),
    "strings": lambda: _of(np.array(["a", "bc", "", "ä"]), Y[:4]).batch(3),
    "bfloat16": lambda: _of(tf.cast(X, tf.bfloat16), Y).batch(4),
    "bools and halves": lambda: _of(X > 3, X.astype("float16")).batch(4),
    "unknown rank": _generated,
    "padded": lambda: tf.data.Dataset.range(1, 6).map(lambda n: tf.range(n)).padded_batch(2),
    "optional": lambda: _of(X).batch(4).map(tf.experimental.Optional.from_value),
}


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, tf.experimental.Optional):
        a, b = a.get_value(), b.get_value()
    tf.nest.assert_same_structure(a, b, expand_composites=True)
    left, right = (tf.nest.flatten(v, expand_composites=True) for v in (a, b))
    for first, second in zip(left, right, strict=True):
        if first.dtype != second.dtype or first.numpy().tolist() != second.numpy().tolist():
            return False
    return True


@pytest.mark.parametrize("name", DATA)
def test_single_batch_is_repeated_with_its_spec(name: str) -> None:
    dataset = DATA[name]()
    for batch in dataset:
        again = iterator_like([batch], dataset.element_spec)
        assert again.element_spec == dataset.element_spec
        assert _same(next(again), batch)
        with pytest.raises(StopIteration):
            next(again)


@pytest.mark.parametrize("name", DATA)
def test_several_batches_are_repeated_with_their_spec(name: str) -> None:
    dataset = DATA[name]()
    batches = list(dataset)
    assert len(batches) > 1
    again = iterator_like(batches, dataset.element_spec)
    assert again.element_spec == dataset.element_spec
    assert all(_same(next(again), batch) for batch in batches)
    with pytest.raises(StopIteration):
        next(again)


@pytest.mark.parametrize("name", DATA)
def test_function_is_not_traced_again(name: str) -> None:
    dataset = DATA[name]()
    traced: list[Any] = []

    @tf.function
    def step(iterator: Any) -> Any:
        traced.append(1)
        return next(iterator)

    iterator = iter(dataset)
    batches = []
    for _ in dataset:
        batches.append(step(iterator))
    assert len(traced) == 1
    for batch in batches:
        assert _same(step(iterator_like([batch], dataset.element_spec)), batch)
    assert len(traced) == 1


def test_batches_that_do_not_fit_the_spec_have_no_iterator() -> None:
    batch = (tf.constant(X), tf.constant(Y))
    assert iterator_like([batch], tf.TensorSpec((None, 2), tf.float32)) is None
