"""What is in memory may be read once more; what is not may be other data then."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pandas
import pytest
import tensorflow as tf

from keras_repro.training.data.description import describe_data
from keras_repro.training.data.in_memory import is_in_memory


class Refuses:
    """An array-like that must not be read."""

    shape, dtype, ndim = (8, 2), np.dtype("float32"), 2

    def _read(self, *arguments: Any, **options: Any) -> Any:
        raise AssertionError("was read")

    __len__ = __getitem__ = __iter__ = __array__ = to_numpy = _read


class RefusingDict(dict):
    __getitem__ = items = values = Refuses._read


class RefusingList(list):
    __getitem__ = __iter__ = Refuses._read


Named = collections.namedtuple("Named", ["a", "b"])
X = np.arange(16, dtype="float32").reshape(8, 2)
IN_MEMORY = [
    X,
    X[::2].T,
    np.float32(1),
    [[1, 2.0], [3, 4]],
    [X, [X, X]],
    {"a": X, "b": collections.OrderedDict(c=X)},
    Named(X, X),
    tf.constant(X),
    tf.Variable(X),
    keras.Variable(X),
    pandas.DataFrame(X),
    pandas.Series([1, 2]),
    pandas.DataFrame({"a": pandas.Categorical(["b", "c"])}),
    None,
]
NOT_IN_MEMORY = [
    Refuses(),
    [Refuses()],
    [[1.0, 2.0], [Refuses()]],
    (X, {"a": Refuses()}),
    RefusingDict(a=X),
    RefusingList([X]),
    np.full(8, object()),
    range(8),
    type("Frame", (pandas.DataFrame,), {"to_numpy": Refuses._read})(X),
]


@pytest.mark.parametrize("data", IN_MEMORY, ids=lambda data: type(data).__name__)
def test_arrays_and_structures_of_them_are_in_memory(data: Any) -> None:
    assert is_in_memory(data)


@pytest.mark.parametrize("data", NOT_IN_MEMORY, ids=lambda data: type(data).__name__)
def test_other_data_is_not_in_memory_and_not_read(data: Any) -> None:
    assert not is_in_memory(data)
    assert "digest" not in describe_data(data, X)
    assert "digest" not in describe_data(X, data)


def test_mapped_files_are_not_in_memory(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "x", "float32", "w+", shape=(8, 2))
    windows = np.lib.stride_tricks.sliding_window_view(mapped, 2, axis=0)
    views = [mapped, mapped[2:], np.asarray(mapped), np.asarray(mapped).reshape(-1)[1:], windows]
    assert [is_in_memory(view) for view in views] == [False] * 5
    assert is_in_memory(np.array(mapped))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        stored = file.create_dataset("x", data=X)
        assert not is_in_memory(stored)
        assert describe_data(stored, X[:, 0]) == {"kind": "Dataset", "order": "keras"}
        assert is_in_memory(stored[:])
