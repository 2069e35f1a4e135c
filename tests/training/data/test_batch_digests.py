"""Digests of the parts and of the samples of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_repro.training.data.batch_digests import batch_digests, row_digests

X = np.arange(20, dtype="float32").reshape(10, 2)
Y = np.arange(10, dtype="int64")


def test_each_part_has_its_own_digest() -> None:
    batch = ({"b": tf.constant(X), "a": tf.constant(Y)}, tf.constant([1.0]))
    digests = batch_digests(batch)
    assert list(digests) == ["0['a']", "0['b']", "1"]
    assert len(set(digests.values())) == 3
    changed = X.copy()
    changed[9, 1] = np.nextafter(changed[9, 1], np.float32(99))
    other = batch_digests(({"b": tf.constant(changed), "a": tf.constant(Y)}, tf.constant([1.0])))
    assert {n for n in digests if digests[n] != other[n]} == {"0['b']"}
    # An iterator may also yield the inputs alone.
    assert list(batch_digests({"b": tf.constant(X), "a": [tf.constant(Y)]})) == ["0['a'][0]", "0['b']"]
    assert list(batch_digests(tf.constant(X))) == ["0"]
    # The components of a ragged tensor have no names.
    assert list(batch_digests((tf.ragged.constant([[1], [2, 3]]), tf.constant(Y)))) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("first", "second"),
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
def test_different_batches_have_different_digests(first: Any, second: Any) -> None:
    assert batch_digests(first) == batch_digests(first)
    assert batch_digests(first) != batch_digests(second)


def test_missing_parts_do_not_change_the_digests() -> None:
    optional = tf.experimental.Optional
    x = tf.constant(X)
    whole = batch_digests((x, None))
    assert batch_digests((optional.from_value(x), optional.empty(tf.TensorSpec((), tf.int32)))) == whole
    assert row_digests((optional.from_value(x),)) == row_digests((x,))


def test_digests_equal_golden_values() -> None:
    # Digests are compared between processes, so they must not change.
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


def test_rows_of_strings_have_digests_and_many_rows_are_limited() -> None:
    assert len(set(row_digests(tf.constant(["a", "b", "a"])))) == 2
    assert len(set(row_digests(tf.constant([1, 2, 1], tf.bfloat16)))) == 2
    assert len(row_digests(tf.zeros((5000, 1)))) == 4096
