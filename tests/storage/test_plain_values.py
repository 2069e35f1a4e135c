"""Plain values are packed and read back bit-identical; other values are refused, and nothing is executed."""

import json
import math
import struct
from collections import deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_repro.storage.plain_values import NotSerializable, pack, unpack

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner)
    ),
    max_leaves=10,
)


@given(PLAIN)
def test_value_is_read_back(value: Any) -> None:
    arrays: dict[str, Any] = {}
    back = unpack(json.loads(json.dumps(pack(value, arrays, "x"))), arrays)
    assert back == value
    assert repr(back) == repr(value)


def test_numbers_outside_of_json_are_read_back() -> None:
    arrays: dict[str, Any] = {}
    value = {"nan": math.nan, "inf": [math.inf, -math.inf], "zero": -0.0, "set": {3, 1}, "queue": deque([1])}
    back = unpack(json.loads(json.dumps(pack(value, arrays, "x"))), arrays)
    assert math.isnan(back["nan"])
    assert back["inf"] == [math.inf, -math.inf]
    assert struct.pack("d", back["zero"]) == struct.pack("d", -0.0)
    assert (back["set"], back["queue"]) == ({1, 3}, deque([1]))


def test_arrays_keep_their_bits() -> None:
    arrays: dict[str, Any] = {}
    value = [np.array([1.5, np.nan], "float16"), np.float32(0.1), np.arange(4).reshape(2, 2)]
    packed = pack(value, arrays, "best")
    assert list(arrays) == ["best/0", "best/1", "best/2"]
    back = unpack(json.loads(json.dumps(packed)), arrays)
    assert [(b.dtype, b.shape, b.tobytes()) for b in back] == [(v.dtype, v.shape, v.tobytes()) for v in value]


@pytest.mark.parametrize("value", [object(), lambda: 1, [np.array([object()])], {"a": open}, 1j])
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(NotSerializable):
        pack(value, {}, "x")


@pytest.mark.parametrize("packed", [{"kind": "code", "text": "1"}, {"kind": "float", "text": "exec"}, {}])
def test_unknown_packed_forms_are_refused(packed: Any) -> None:
    with pytest.raises(ValueError, match="a packed value of an unknown kind"):
        unpack(packed, {})
