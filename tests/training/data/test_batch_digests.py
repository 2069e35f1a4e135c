"""Batches on their way into a step: digests of their parts and samples, and the same element spec again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_repro.training.data.batch_digests import batch_digests, row_digests
from keras_repro.training.data.batch_feed import iterator_like

X = np.arange(20, dtype="float32").reshape(10, 2)
Y = np.arange(10, dtype="int64")


def _of(*arrays: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0])


def _ragged() -> Any:
    return tf.data.Dataset.from_tensor_slices(tf.ragged.constant([[1], [2, 3], [], [4]])).batch(2)


def _sparse() -> Any:
    held = tf.sparse.from_dense([[0.0, 1.0], [2.0, 0.0], [0.0, 0.0], [3.0, 4.0]])
    return tf.data.Dataset.from_tensor_slices(held).batch(2)


def _generated() -> Any:
    signature = (tf.TensorSpec((None, 2), tf.float32), tf.TensorSpec(None, tf.int64))
    return tf.data.Dataset.from_generator(
        lambda: iter([(X[:4], Y[:4]), (X[4:], Y[4:])]), output_signature=signature
    )


# Batches of all forms.
DATA: dict[str, Callable[[], Any]] = {
    "fixed batch size": lambda: _of(X, Y).batch(4, drop_remainder=True),
    "open batch size": lambda: _of(X, Y).batch(4),
    "inputs alone": lambda: _of(X).batch(4),
    "a dict and weights": lambda: _of({"b": X, "a": {"c": Y}}, Y, X[:, 0]).batch(3),
    "a dict alone": lambda: _of({"b": X, "a": Y}).batch(3),
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
    for one, two in zip(left, right, strict=True):
        if one.dtype != two.dtype or one.numpy().tolist() != two.numpy().tolist():
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


def test_batches_that_do_not_fit_the_spec_give_none() -> None:
    batch = (tf.constant(X), tf.constant(Y))
    assert iterator_like([batch], tf.TensorSpec((None, 2), tf.float32)) is None


# --- digests


def test_each_part_has_its_own_digest() -> None:
    batch = ({"b": tf.constant(X), "a": tf.constant(Y)}, tf.constant([1.0]))
    digests = batch_digests(batch)
    assert list(digests) == ["0", "1", "2"]
    assert len(set(digests.values())) == 3
    changed = X.copy()
    changed[9, 1] = np.nextafter(changed[9, 1], np.float32(99))
    other = batch_digests(({"b": tf.constant(changed), "a": tf.constant(Y)}, tf.constant([1.0])))
    assert {n for n in digests if digests[n] != other[n]} == {"1"}


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (tf.zeros((2, 3)), tf.zeros((3, 2))),
        (tf.zeros(4, tf.int32), tf.zeros(4, tf.float32)),
        (tf.constant([0.0]), tf.constant([-0.0])),
        (tf.constant(["ab", "c"]), tf.constant(["a", "bc"])),
        (tf.constant([1, 2], tf.bfloat16), tf.constant([2, 1], tf.bfloat16)),
        (tf.constant([True, False]), tf.constant([False, True])),
        (tf.ragged.constant([[1], [2, 3]]), tf.ragged.constant([[1, 2], [3]])),
    ],
)
def test_different_batches_have_different_digests(one: Any, two: Any) -> None:
    assert batch_digests(one) == batch_digests(one)
    assert batch_digests(one) != batch_digests(two)


def test_missing_parts_do_not_change_the_digests() -> None:
    optional = tf.experimental.Optional
    x = tf.constant(X)
    whole = batch_digests((x, None))
    assert batch_digests((optional.from_value(x), optional.empty(tf.TensorSpec((), tf.int32)))) == whole
    assert row_digests((optional.from_value(x),)) == row_digests((x,))


def test_digests_are_literal() -> None:
    # Another process compares them with its own.
    assert batch_digests((tf.constant([[1.0], [2.0]]), np.array([3], "int64"))) == {
        "0": "abdafcbd79a78d4a",
        "1": "ca101ed0f973ab35",
    }
    assert row_digests((tf.constant([[1.0], [2.0]]), tf.constant(["a", "b"]))) == [
        "734ec0d2bd5448e7",
        "9a524a074d379116",
    ]


def test_rows_distinguish_order_from_samples() -> None:
    rows = row_digests((tf.constant(X), tf.constant(Y)))
    assert (len(rows), len(set(rows))) == (10, 10)
    order = [3, 1, 2, 0, 4, 9, 8, 7, 6, 5]
    assert row_digests((tf.constant(X[order]), tf.constant(Y[order]))) == [rows[i] for i in order]
    # Inputs with other labels are other samples.
    assert set(row_digests((tf.constant(X), tf.constant(Y[order])))) & set(rows) == {
        rows[i] for i in range(10) if order[i] == i
    }


def test_batches_without_common_samples_have_no_rows() -> None:
    assert row_digests((tf.constant(X), tf.constant(1.0))) == []
    assert row_digests((tf.constant(X), tf.constant(Y[:3]))) == []
    assert row_digests((tf.zeros((0, 3)),)) == []
    assert row_digests(()) == []
    assert row_digests(tf.sparse.from_dense([[0.0, 1.0]])) == []


def test_rows_of_strings_and_many_samples() -> None:
    assert len(set(row_digests(tf.constant(["a", "b", "a"])))) == 2
    assert len(set(row_digests(tf.constant([1, 2, 1], tf.bfloat16)))) == 2
    assert len(row_digests(tf.zeros((5000, 1)))) == 4096
