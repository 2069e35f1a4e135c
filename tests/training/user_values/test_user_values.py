"""The values of a whole training are captured, and restored in equal code."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from keras_repro.training.user_values.user_values import UserValues


def objects() -> tuple[Any, Any]:
    """Return what one process has: two objects of a program."""
    both = [0]
    return SimpleNamespace(a=both, b=both, array=np.zeros(2)), SimpleNamespace(
        c=[0], nested={"d": [1], "e": 2}
    )


def values_of(first: Any, second: Any) -> UserValues:
    return UserValues(SimpleNamespace(first=first, second=second), [])


def resumed(change: Any) -> tuple[list[str], Any, Any]:
    """Change the objects of one process; return those of another one after a restore, and what failed."""
    first, second = objects()
    values = values_of(first, second)
    change(first, second)
    arrays: dict[str, Any] = {}
    packed = values.capture(values.reach(), arrays, "values")
    assert packed["inexact"] == []
    again = objects()
    return values_of(*again).restore(packed, arrays), *again


def test_one_list_under_two_names_stays_one() -> None:
    failed, first, second = resumed(lambda first, second: first.a.append(1))
    assert (failed, first.a, second.c) == ([], [0, 1], [0])
    assert first.a is first.b


def test_lists_that_became_two_are_two() -> None:
    def change(first: Any, second: Any) -> None:
        first.a = [1, 2]
        first.b.append(3)

    failed, first, _ = resumed(change)
    assert (failed, first.a, first.b) == ([], [1, 2], [0, 3])


def test_objects_that_became_one_are_one() -> None:
    def change(first: Any, second: Any) -> None:
        second.c = first.a
        second.made = first.array
        second.nested["d"] = first.a

    failed, first, second = resumed(change)
    assert failed == []
    assert second.c is first.a is first.b is second.nested["d"]
    assert second.made is first.array
    assert second.nested == {"d": [0], "e": 2}


def test_list_within_a_dict_keeps_its_other_names() -> None:
    def change(first: Any, second: Any) -> None:
        second.nested["d"].append(2)
        second.nested["f"] = 3

    first, second = objects()
    values, arrays = values_of(first, second), dict[str, Any]()
    change(first, second)
    packed = values.capture(values.reach(), arrays, "values")
    again = objects()
    inner = again[1].nested["d"]
    assert values_of(*again).restore(packed, arrays) == []
    assert again[1].nested == {"d": [1, 2], "e": 2, "f": 3}
    assert again[1].nested["d"] is inner


def test_what_is_not_saved_is_restored_to_its_start() -> None:
    first, second = objects()
    values = values_of(first, second)
    nothing = values.capture(values.reach(), {}, "values")
    first.a.append(1)
    first.added, first.array = 5, np.ones(3)
    del second.c
    assert values.restore(nothing, {}) == []
    assert vars(first).keys() == {"a", "b", "array"}
    assert (first.a, first.array.tolist()) == ([0], [0.0, 0.0])


def test_name_that_is_gone_is_removed() -> None:
    failed, _, second = resumed(lambda first, second: delattr(second, "c"))
    assert failed == []
    assert not hasattr(second, "c")
