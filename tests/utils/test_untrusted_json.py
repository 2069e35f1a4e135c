"""Untrusted JSON has bounds, and its values are replaced by empty ones if they have another type."""

from __future__ import annotations

from typing import Any

import pytest

from keras_repro.utils.untrusted_json import (
    DEEPEST,
    MOST_VALUES,
    as_mapping,
    as_mappings,
    as_sequence,
    as_text,
    as_texts,
    is_shape,
    of_kind,
    parse_json,
)


@pytest.mark.parametrize("value", [None, 3, "text", True, 1.5])
def test_other_types_become_empty(value: Any) -> None:
    assert as_mapping(value) == {}
    assert list(as_sequence(value)) == []
    assert as_mappings(value) == []
    assert as_texts(value) == []


def test_expected_types_are_kept() -> None:
    assert as_mapping({"a": [1]}) == {"a": [1]}
    assert as_sequence([1, "x"]) == [1, "x"]
    assert as_mappings([{"a": 1}, 3, None, {"b": 2}]) == [{"a": 1}, {"b": 2}]
    assert as_texts(["a", 3, "b"]) == ["a", "b"]


def test_empty_text_counts_as_none() -> None:
    assert [as_text(v) for v in ("x", "", 3, None, ["x"])] == ["x", None, None, None, None]


def test_json_is_parsed_within_bounds() -> None:
    assert parse_json(b'{"a": [1, null, "\\u00e4"]}') == {"a": [1, None, "ä"]}
    most = b"[" + b"1," * (MOST_VALUES - 1) + b"1]"
    assert len(parse_json(most)) == MOST_VALUES
    assert parse_json(b"[" * DEEPEST + b"]" * DEEPEST) is not None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[" + b"1," * MOST_VALUES + b"1]", "it holds more than 1,048,576 values"),
        (b"[" + b"[]," * (MOST_VALUES // 2) + b"1]", "it holds more than 1,048,576 values"),
        (b"[" + b"{}," * (MOST_VALUES // 2) + b"1]", "it holds more than 1,048,576 values"),
        (b"[" * (DEEPEST + 2) + b"]" * (DEEPEST + 2), "it is nested too deeply"),
        (b'{"a":' * 100_000 + b"}" * 100_000, "it is nested too deeply"),
        (b"[1", "it is not JSON"),
        (b"[NaN]", "it is not JSON"),
        (b"[-Infinity]", "it is not JSON"),
        (b"[1e999]", "it is not JSON"),
        (b'["\xff"]', "it is not JSON"),
        (b"[" + b"9" * 5000 + b"]", "it is not JSON"),
        (b"[]" + b"\0", "it is not JSON"),
    ],
)
def test_json_beyond_bounds_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        parse_json(text)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("x", str, "x"),
        (3, str, None),
        (3, int, 3),
        (True, int, None),
        (True, bool, True),
        (1, bool, None),
        (3.5, int, None),
        (3, float, 3),
        (1e300, float, 1e300),
        (1e999, float, None),
        (float("nan"), float, None),
        (-(10**400), int, None),
        ([1, "x", 2, None], [int], [1, 2]),
        ({"a": 1}, [int], None),
        ({"a": 1, "b": "x", "c": 2}, {"*": int}, {"a": 1, "c": 2}),
        ({"a": 1, "b": "x", "new": [{}]}, {"a": str, "b": str}, {"b": "x", "new": [{}]}),
        ({"a": None}, {"a": int}, {"a": None}),
        ({"a": [{"b": 1}, {"b": "x"}, 3]}, {"a": [{"b": int}]}, {"a": [{"b": 1}, {}]}),
        ("x", {"a": int}, None),
    ],
)
def test_parts_of_another_kind_are_left_out(value: Any, kind: Any, expected: Any) -> None:
    assert of_kind(value, kind) == expected


def test_shapes_are_those_of_arrays() -> None:
    shapes = [], [0], [2, 3], [1] * 64, [0, 1 << 58]
    others = (
        [0, 1 << 62, 1 << 62],
        [1] * 65,
        [-1],
        [True],
        [1.0],
        [1 << 70],
        [1 << 30, 1 << 30],
        None,
        "12",
        (2,),
    )
    assert all(map(is_shape, shapes))
    assert not any(map(is_shape, others))
