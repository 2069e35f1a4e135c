"""Questions about the code of one line."""

from __future__ import annotations

import pytest

from keras_repro.source_code.rewrite import iterates_over


@pytest.mark.parametrize(
    ("code", "sets", "iterates"),
    [
        ("for x in names:", {"names"}, True),
        ("for x in sorted(names):", {"names"}, False),
        ("x = names.pop()", {"names"}, True),
        ("x = names.pop(0)", {"names"}, False),
        ("x = list(graph[node])", {"graph[]"}, True),
        ("x = list(graph[node])", {"graph"}, False),
        ("x = len(names)", {"names"}, False),
        ("x = (", {"x"}, False),
    ],
)
def test_code_that_iterates_over_a_set_is_recognized(code: str, sets: set[str], iterates: bool) -> None:
    assert iterates_over(code, sets) is iterates
