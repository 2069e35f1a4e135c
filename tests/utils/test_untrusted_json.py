"""Values of untrusted JSON are replaced by empty ones if they have another type."""

from __future__ import annotations

from typing import Any

import pytest

from keras_repro.utils.untrusted_json import as_mapping, as_mappings, as_sequence, as_text, as_texts


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
