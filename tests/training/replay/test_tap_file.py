"""Files with the values of taps, and with the state before a step."""

from __future__ import annotations

import resource
import signal
import weakref
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from keras_repro.training.replay.recorded_step import PreStepState
from keras_repro.training.replay.tap_file import TapValues
from keras_repro.training.state.buffers import array_of_value


@pytest.fixture
def small_files() -> Iterator[None]:
    """Limit each file to 4,096 bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_values_are_read_back_with_dtype_and_bits(tmp_path: Path) -> None:
    stored = [
        np.array([[1.5, -0.0]], "float32"),
        np.array([1, 3], ml_dtypes.bfloat16),
        np.array([b"a", b"bc"], object),
        np.array(7, "int64"),
    ]
    with TapValues(tmp_path / "taps.npz") as values:
        for value in stored:
            values.add(value)
    assert values.dtypes == ["float32", "bfloat16", "object", "int64"]
    for index, value in enumerate(stored):
        restored = values.read(index)
        assert restored is not None
        assert (restored.dtype, restored.shape) == (value.dtype, value.shape)
        assert restored.tolist() == value.tolist()
    with np.load(tmp_path / "taps.npz", allow_pickle=False) as file:
        assert sorted(file.files) == ["0", "1", "3"]


def test_values_that_do_not_fit_on_the_disk_are_dropped(tmp_path: Path, small_files: None) -> None:
    with TapValues(tmp_path / "taps.npz") as values:
        values.add(np.zeros(4, "float32"))
        values.add(np.zeros(4000, "float32"))
        values.add(np.zeros(4, "float32"))
    assert values.dtypes == ["float32"] * 3
    assert [values.read(n) for n in range(3)] == [None, None, None]
    assert list(tmp_path.iterdir()) == []


def test_state_is_the_same_in_a_file(tmp_path: Path) -> None:
    tensors = [
        tf.constant([[1.5, float("nan")]]),
        tf.constant([1, 2], tf.bfloat16),
        tf.constant(["a", "b"]),
        tf.constant(3, tf.int64),
    ]
    before = PreStepState(tensors)
    expected = [t.numpy().tolist() for t in tensors]
    before.move_to(tmp_path / "before.h5")
    assert len(before) == 4
    for variable, value, original in zip(map(tf.Variable, tensors), before, expected, strict=True):
        value.assign_to(variable)
        np.testing.assert_array_equal(variable.numpy().tolist(), original)


def test_large_tensor_is_restored_in_parts_and_read_without_a_copy(tmp_path: Path) -> None:
    value = np.random.default_rng(0).normal(size=(1001, 777)).astype("float32")
    before = PreStepState([tf.constant(value)])
    before.move_to(tmp_path / "before.h5")
    variable = tf.Variable(tf.zeros(value.shape))
    for part in before:
        part.assign_to(variable)
    np.testing.assert_array_equal(variable.numpy(), value)
    first, second = (array_of_value(variable.read_value()).ctypes.data for _ in range(2))
    assert first == second
    variable.assign_add(tf.ones(value.shape))
    np.testing.assert_array_equal(variable.numpy(), value + 1)


def test_state_moved_to_a_file_leaves_memory(tmp_path: Path) -> None:
    tensors = [tf.zeros(3)]
    alive = weakref.ref(tensors[0])
    before = PreStepState(tensors)
    tensors.clear()
    assert alive() is not None
    before.move_to(tmp_path / "before.h5")
    assert alive() is None


def test_state_that_does_not_fit_on_the_disk_stays_in_memory(tmp_path: Path, small_files: None) -> None:
    before = PreStepState([tf.zeros(4000)])
    before.move_to(tmp_path / "before.h5")
    (tensor,) = before
    assert tensor.shape == (4000,)
    assert list(tmp_path.iterdir()) == []
