"""A variable's bytes and digests, for every dtype. No view is kept."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pandas
import pytest
import tensorflow as tf
from training import models

from keras_repro.storage.digest import array_digest, content_digest
from keras_repro.training.state.digests import array_of, content_of, digests_of, log_digests, shape_of
from keras_repro.training.state.walk import StateTensor, model_state

_rare = tf.dtypes.experimental


def _tensor(variable: tf.Variable, name: str = "t") -> StateTensor:
    return StateTensor(name, "weights", variable.name, variable)


@pytest.mark.parametrize(
    "values",
    [
        np.arange(6, dtype="float32").reshape(2, 3),
        np.array(1.5, "float64"),
        np.array([-0.0, np.nan, np.inf], "float16"),
        np.array([1, -2], "int8"),
        np.array([1, 2**40], "int64"),
        np.array([1, 2**40], "uint64"),
        np.array([1, 2**30], "uint32"),
        np.array([True, False]),
        np.array([1 + 2j], "complex64"),
        np.array([1 + 2j], "complex128"),
        np.zeros((0, 3), "float32"),
        np.array(["a", "bä", ""], dtype=object),
    ],
    ids=lambda v: f"{v.dtype}{list(v.shape)}",
)
def test_variable_has_the_digest_of_its_array(values: np.ndarray) -> None:
    variable = tf.Variable(values)
    assert digests_of([_tensor(variable)]) == {"weights": {"t": array_digest("t", values)}}


@pytest.mark.parametrize("dtype", [tf.bfloat16, _rare.float8_e4m3fn, _rare.float8_e5m2, _rare.int4])
def test_dtypes_without_a_buffer_format_are_hashed_by_their_bits(dtype: tf.DType) -> None:
    values = np.array([1.0, -1.0, 2.0])
    bits = values.astype(dtype.as_numpy_dtype)
    variable = tf.Variable(bits)
    assert variable.dtype == dtype
    assert content_of(variable) == content_digest(bits.tobytes())
    other = tf.Variable(np.array([1.0, -1.0, 4.0]).astype(dtype.as_numpy_dtype))
    assert content_of(variable) != content_of(other)


def test_digests_equal_golden_values() -> None:
    variable = tf.Variable(tf.range(3, dtype=tf.float32))
    assert digests_of([_tensor(variable, "kernel")]) == {
        "weights": {"kernel": "f740bbc42242c7e348706793f21a6ead"}
    }
    bits = tf.Variable(tf.constant([1.0, 2.0], tf.bfloat16))
    assert content_of(bits) == content_digest(np.array([0x3F80, 0x4000], "<u2"))
    assert np.array([1.0, 2.0], ml_dtypes.bfloat16).tobytes() == np.array([0x3F80, 0x4000], "<u2").tobytes()


def test_dtype_and_shape_change_the_digest() -> None:
    as_float = tf.Variable(tf.zeros(4))
    as_int = tf.Variable(tf.zeros(4, tf.int32))
    square = tf.Variable(tf.zeros((2, 2)))
    assert content_of(as_float) == content_of(as_int) == content_of(square)
    digests = {digests_of([_tensor(v)])["weights"]["t"] for v in (as_float, as_int, square)}
    assert len(digests) == 3


def test_large_state_hashed_in_threads_has_the_same_digests() -> None:
    random = np.random.default_rng(3)
    sizes = [2_000_000, 100_000, 10, 0, 500_000, 1]
    variables = [tf.Variable(random.normal(size=n).astype("float32")) for n in sizes]
    tensors = [_tensor(v, f"t{i}") for i, v in enumerate(variables)]
    expected = {t.name: array_digest(t.name, t.variable.numpy()) for t in tensors}
    assert digests_of(tensors) == {"weights": expected}
    assert list(digests_of(tensors)["weights"]) == list(expected)


def _address(variable: tf.Variable) -> int:
    return int(np.asarray(memoryview(variable.read_value())).__array_interface__["data"][0])


def test_reading_keeps_no_view() -> None:
    model = models.sequential()
    variables = [tf.Variable(tf.zeros(100_000)) for _ in range(15)]
    model.large = variables
    addresses = [_address(v) for v in variables]
    for _ in range(3):
        digests_of(model_state(model))
        for variable in variables:
            variable.assign_add(tf.ones(100_000))
    assert [_address(v) for v in variables] == addresses
    # A view that is kept changes the addresses.
    kept = [memoryview(v.read_value()) for v in variables]
    for variable in variables:
        variable.assign_add(tf.ones(100_000))
    assert all(now != then for now, then in zip(map(_address, variables), addresses, strict=True))
    assert len(kept) == 15


def test_shape_contains_dtype_shape_and_name() -> None:
    assert shape_of(_tensor(tf.Variable(tf.zeros((2, 3)), name="own"))) == ["float32", [2, 3], "own:0"]


def test_logs_are_digested_as_numbers() -> None:
    single, double = np.float32(0.1), float(np.float32(0.1))
    assert log_digests({"loss": single}) == log_digests({"loss": double})
    assert log_digests({"loss": 0.1}) != log_digests({"loss": double})
    assert log_digests({"loss": tf.constant(0.1)}) == log_digests({"loss": double})
    assert log_digests({"loss": float("nan")}) == log_digests({"loss": np.float32("nan")})
    assert log_digests({"loss": 0.1}) != log_digests({"other": 0.1})
    assert log_digests({"f1": [0.5, 0.25]}) == log_digests({"f1": np.array([0.5, 0.25], "float32")})
    assert log_digests({"f1": [0.5, 0.25]}) != log_digests({"f1": [0.25, 0.5]})
    assert log_digests({"text": "a"}) != log_digests({"text": "b"})


def test_array_likes_are_converted_to_arrays() -> None:
    expected = [[1.0, 2.0]]
    for value in (
        expected,
        np.array(expected),
        tf.constant(expected),
        tf.Variable(expected),
        pandas.DataFrame(expected),
    ):
        assert array_of(value).tolist() == expected
    assert array_of(tf.constant([1.0], tf.bfloat16)).tolist() == [0x3F80]
