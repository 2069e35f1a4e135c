"""`StateReader`: its digests cover the whole state, and a copy restores the state exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import xxhash
from training import models

from keras_repro.storage.digest import tensor_frame
from keras_repro.training.replay.recorded_step import PreStepState
from keras_repro.training.state.fast_reader import StateReader
from keras_repro.training.state.walk import model_state


def _trained(build: Any) -> Any:
    models.fresh()
    model = build()
    model.train_on_batch(*models.data())
    return model


def test_section_digests_cover_each_tensor() -> None:
    model = _trained(models.functional)
    reader = StateReader(model)
    before, each = reader.digests(), reader.tensor_digests()
    assert list(before) == list(each) == ["weights", "optimizer", "seeds", "metrics"]
    assert [(t.section, t.name) for t in reader.tensors] == [(s, n) for s in each for n in each[s]]
    for tensor in reader.tensors:
        value = tf.convert_to_tensor(tensor.variable)
        models.flip_bit(tensor.variable)
        now = reader.digests()
        assert [s for s in before if now[s] != before[s]] == [tensor.section]
        changed = {
            s: {n for n, d in digests.items() if d != each[s][n]}
            for s, digests in reader.tensor_digests().items()
        }
        assert {s: names for s, names in changed.items() if names} == {tensor.section: {tensor.name}}
        tensor.variable.assign(value)
        assert reader.digests() == before


def test_digests_equal_golden_values() -> None:
    models.fresh()
    layer = models.layers.Dense(2)
    layer.build((3,))
    layer.kernel.assign(np.arange(6, dtype="float32").reshape(3, 2))
    reader = StateReader(layer)
    assert [t.name for t in reader.tensors] == ["bias", "kernel"]
    assert reader.digests() == {"weights": "a636521d517def37195e7aa26936cc83"}
    assert reader.tensor_digests() == {
        "weights": {
            "bias": "8aadab737e9d2f37b5c8867754c04c39",
            "kernel": "7c77e11810b1e38c1744e84fe679b279",
        }
    }


def test_swapped_values_change_the_digest() -> None:
    module = tf.Module()
    module.a, module.b = tf.Variable([1.0, 2.0]), tf.Variable([3.0, 4.0])
    reader = StateReader(module)
    before = reader.digests()
    module.a.assign([3.0, 4.0])
    module.b.assign([1.0, 2.0])
    assert reader.digests() != before


@pytest.mark.parametrize(
    "values",
    [
        np.array(["a", "bc"], dtype=object),
        np.array([True, False]),
        np.zeros((0, 3), "float32"),
        np.array([1, 2], "int8"),
        np.array(1.5, "float16"),
    ],
    ids=lambda v: str(v.dtype),
)
def test_every_dtype_can_be_read(values: np.ndarray) -> None:
    module = tf.Module()
    module.value = tf.Variable(values)
    module.other = tf.Variable(tf.zeros(3, tf.bfloat16))
    reader = StateReader(module)
    before = reader.digests()
    if values.size:
        module.value.assign(values[::-1] if values.ndim else values + values.dtype.type(1))
        assert reader.digests() != before
    module.other.assign([1.0, 0.0, 0.0])
    assert reader.tensor_digests()["weights"]["other"] != before


def test_variable_without_fixed_shape_is_read_with_its_present_shape() -> None:
    module = tf.Module()
    module.value = tf.Variable(tf.zeros((2, 3)), shape=tf.TensorShape([None, None]))
    reader = StateReader(module)
    before, each = reader.digests(), reader.tensor_digests()
    module.value.assign(tf.zeros((3, 2)))
    assert reader.digests() != before
    assert reader.tensor_digests() != each


def test_refresh_finds_variables_created_later() -> None:
    models.fresh()
    model = models.unbuilt_sequential()
    reader = StateReader(model)
    assert "weights" not in reader.digests()
    model.train_on_batch(*models.data())
    reader.refresh()
    assert [t.name for t in reader.tensors] == [t.name for t in model_state(model)]
    assert list(reader.digests()) == ["weights", "optimizer", "seeds", "metrics"]


@pytest.mark.parametrize("build", [models.functional, models.gan, models.own_noise])
def test_copy_restores_the_state_repeatedly(build: Any) -> None:
    model = _trained(build)
    reader = StateReader(model)
    before, copy = reader.digests(), reader.copy()
    seen = set()
    for _ in range(3):
        model.train_on_batch(*models.data())
        seen.add(tuple(reader.digests().items()))
        assert reader.digests() != before
        reader.restore(copy)
        assert reader.digests() == before
    assert len(seen) == 1
    with pytest.raises(ValueError, match=r"copy must hold the \d+ tensors of this state, received 0"):
        reader.restore([])


@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "bfloat16", "float64", "int64", "uint32", "bool", "int8"]
)
def test_copy_in_a_file_restores_the_state(dtype: str, tmp_path: Path) -> None:
    """Larger than a part, with rows that do not divide a part, and with bits that are NaN."""
    kind = tf.as_dtype(dtype).as_numpy_dtype
    drawn = np.random.default_rng(0).integers(0, 256, 9 << 20, "u1")
    large = (drawn % 2 if dtype == "bool" else drawn).view(kind).reshape(9, 1024, -1)[:, :, None]
    module = tf.Module()
    module.large, module.whole = tf.Variable(large), tf.Variable(large[:1, 0])
    module.number, module.empty = tf.Variable(large[0, 0, 0, 0]), tf.Variable(large[:0])
    reader = StateReader(module)
    before = PreStepState(reader.copy())
    expected = reader.tensor_digests()
    before.move_to(tmp_path / "before.h5")
    assert (tmp_path / "before.h5").stat().st_size > 9_000_000
    for variable in (module.large, module.whole, module.number):
        variable.assign(tf.zeros_like(variable))
    assert reader.tensor_digests() != expected
    reader.restore(before)
    assert reader.tensor_digests() == expected


def test_reading_keeps_no_view() -> None:
    module = tf.Module()
    module.value = tf.Variable(tf.zeros(100_000))
    reader = StateReader(module)
    address = _address(module.value)
    for _ in range(3):
        reader.digests()
        reader.tensor_digests()
        module.value.assign_add(tf.ones(100_000))
    assert _address(module.value) == address
    copy = reader.copy()
    module.value.assign_add(tf.ones(100_000))
    assert _address(module.value) != address
    assert copy[0].numpy()[0] == 3.0


def _address(variable: tf.Variable) -> int:
    return int(np.asarray(memoryview(variable.read_value())).__array_interface__["data"][0])


def test_large_tensor_is_hashed_by_blocks() -> None:
    module = tf.Module()
    values = np.random.default_rng(3).normal(size=(3, 1 << 20)).astype("float32")
    # `* 1`: TensorFlow shares NumPy memory that is aligned by chance, and never writes to it.
    module.large, module.small = tf.Variable(tf.constant(values[:, : (1 << 20) - 7]) * 1), tf.Variable([1.0])
    reader = StateReader(module)
    assert [t.name for t in reader.tensors] == ["large", "small"]
    raw = module.large.numpy().tobytes()
    blocks = [xxhash.xxh3_128_digest(raw[start : start + (1 << 22)]) for start in range(0, len(raw), 1 << 22)]
    assert len(blocks) == 3
    frames = tensor_frame("large", "float32", (3, (1 << 20) - 7)) + tensor_frame("small", "float32", (1,))
    expected = xxhash.xxh3_128_hexdigest(frames + b"".join(blocks) + np.float32(1).tobytes())
    assert reader.digests() == {"weights": expected}
    address = _address(module.large)
    module.large.assign_add(tf.ones((3, (1 << 20) - 7)))
    assert _address(module.large) == address
    assert reader.digests() != {"weights": expected}
