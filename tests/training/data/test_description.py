"""Descriptions of data: kind, size and digests. Nothing is drawn from streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pandas
import pytest
import scipy.sparse
import tensorflow as tf
from training import models

from keras_repro.storage.digest import array_digest
from keras_repro.training.data.description import describe_data, output_digests


def test_equal_arrays_have_equal_descriptions() -> None:
    x, y = models.data()
    described = describe_data(x, y)
    assert (described["kind"], described["samples"], described["order"]) == ("arrays", 24, "keras")
    assert described == describe_data(x.copy(), y.copy())
    assert describe_data(x, y, order="keras_repro") == described | {"order": "keras_repro"}


def test_reordered_samples_differ_from_changed_samples() -> None:
    x, y = models.data()
    described = describe_data(x, y)
    order = np.random.default_rng(1).permutation(24)
    moved = describe_data(x[order], y[order])
    assert moved["digest"] != described["digest"]
    assert moved["rows"] == described["rows"]
    # A sample is an input with its label.
    torn = describe_data(x[order], y)
    assert torn["rows"] != described["rows"]
    changed = x.copy()
    changed[3, 1] = np.nextafter(changed[3, 1], 9)
    assert describe_data(changed, y)["rows"] != described["rows"]
    weighted = describe_data(x, y, np.ones(24))
    assert weighted["digest"] != described["digest"]


@pytest.mark.parametrize("convert", [tf.constant, tf.Variable, pandas.DataFrame])
def test_array_likes_are_described_by_their_values(convert: Any) -> None:
    x, y = models.data()
    assert describe_data(convert(x), convert(y)) == describe_data(x, y)


def test_structures_are_described_by_path() -> None:
    x, y = models.data()
    described = describe_data({"a": x, "b": x + 1}, y)
    assert described == describe_data({"b": x + 1, "a": x}, y)
    assert described["digest"] != describe_data({"a": x + 1, "b": x}, y)["digest"]
    assert list(described["parts"]) == ["x['a']", "x['b']", "y"]
    assert described["parts"]["y"] == array_digest("y", y)
    listed = describe_data([x, x + 1], y, np.ones(24))
    assert list(listed["parts"]) == ["sample_weight", "x[0]", "x[1]", "y"]
    assert listed["kind"] == "arrays"
    assert listed["digest"] != describe_data([x + 1, x], y)["digest"]


class _Batches(keras.utils.PyDataset):
    def __len__(self) -> int:
        raise AssertionError("asked for its length")

    def __getitem__(self, index: int) -> Any:
        raise AssertionError("drawn from")


def _generator() -> Iterator[int]:
    yield from range(3)


def test_nothing_is_drawn_from_streams() -> None:
    stream = _generator()
    described = {
        "iterator": stream,
        "tf.data": tf.data.Dataset.from_generator(_generator, output_signature=tf.TensorSpec((), tf.int32)),
        "PyDataset": _Batches(),
    }
    for kind, data in described.items():
        assert describe_data(data) == {"kind": kind, "order": "not ours"}
    assert next(stream) == 0
    assert describe_data(None) == {"kind": "none"}


def test_data_that_numpy_cannot_read_has_only_a_kind() -> None:
    x, y = models.data()
    assert describe_data(scipy.sparse.csr_matrix(x), y)["kind"] == "csr_matrix"
    assert describe_data(tf.sparse.from_dense(x), y)["kind"] == "SparseTensor"
    assert describe_data(tf.ragged.constant([[1], [2, 3]]), y)["kind"] == "RaggedTensor"
    objects = np.empty(2, object)
    assert describe_data(objects, y[:2])["kind"] == "ndarray"


def test_arrays_of_unequal_length_are_described() -> None:
    x, y = models.data()
    described = describe_data(x, y[:-1])
    assert (described["samples"], described["rows"]) == (24, "")


def test_outputs_have_digests_by_path() -> None:
    x, y = models.data()
    assert output_digests(x) == {"output": array_digest("output", x)}
    assert set(output_digests({"b": y, "a": [x, y]})) == {"output/a/0", "output/a/1", "output/b"}
    assert output_digests(0.5) != output_digests(0.25)
    ragged = output_digests(tf.ragged.constant([[1], [2, 3]]))
    assert ragged != output_digests(tf.ragged.constant([[1], [2, 4]]))


def test_stream_with_shape_and_dtype_is_not_read():
    class Batches(keras.utils.PyDataset):
        shape, dtype = (8, 2), "float32"

        def __len__(self):
            raise AssertionError("was asked for its length")

        def __getitem__(self, index):
            raise AssertionError("was read")

    assert describe_data(Batches()) == {"kind": "PyDataset", "order": "not ours"}
