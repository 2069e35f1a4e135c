"""One value is read, compared, saved and set."""

from __future__ import annotations

import array
import contextvars
import enum
import itertools
import json
import logging
import random
from collections import Counter, deque, namedtuple
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_repro.training.user_values.owner import Owner, owner_of_items
from keras_repro.training.user_values.user_value import UserValue, assign, unpacked

Pair = namedtuple("Pair", ["a", "b"])


class Phase(enum.Enum):
    FIRST = 1
    SECOND = 2


def holder(value: Any) -> tuple[dict[str, Any], Owner]:
    items = {"it": value}
    return items, owner_of_items("items", items, dict, is_silent=False)


def known(value: Any, *, keep: bool = False) -> UserValue:
    found = UserValue.of(value, keep=keep)
    assert found is not None
    return found


def drawn(generator: Any) -> Any:
    generator.random()
    return generator


def same(first: Any, second: Any) -> bool:
    return type(first) is type(second) and known(first).token == known(second).token


# A value as it is at first, and another one of its kind.
VALUES: list[Any] = [
    ("plain", 1, 2),
    ("plain", 1, True),
    ("plain", 0.0, -0.0),
    ("plain", None, float("nan")),
    ("plain", "a" * 100, "b" * 100),
    ("plain", [1, [2]], [1, [3, 4]]),
    ("plain", {1: "a"}, {2: {"b": (3, None)}}),
    ("plain", {1, 2}, {3}),
    ("plain", deque([1]), deque([1, 2])),
    ("plain", Counter("aab"), Counter("abb")),
    ("plain", np.zeros(3), np.ones(3)),
    ("plain", np.zeros(3), np.ones((2, 2), "float32")),
    ("plain", np.float32(1), np.float32(2)),
    ("plain", tf.constant([1.0]), tf.constant([2.0])),
    ("enum", Phase.FIRST, Phase.SECOND),
    ("generator", np.random.default_rng(1), drawn(np.random.default_rng(1))),
    ("random state", np.random.RandomState(1), drawn(np.random.RandomState(1))),
    ("random", random.Random(1), drawn(random.Random(1))),
    ("buffer", bytearray(b"a"), bytearray(b"bc")),
    ("buffer", array.array("d"), array.array("d", [1.0, 2.0])),
]


@pytest.mark.parametrize(("kind", "first", "second"), VALUES)
def test_value_is_saved_and_set(kind: str, first: Any, second: Any) -> None:
    items, owner = holder(first)
    value, arrays = known(second), dict[str, Any]()
    assert known(first).kind == value.kind == kind
    assert known(first).token != value.token
    assert value.can_follow(known(first))
    packed = json.loads(json.dumps(value.packed(arrays, "values")))
    assert assign(owner, "it", kind, unpacked(packed, arrays))
    assert same(items["it"], second)


def test_containers_and_arrays_are_changed_in_place() -> None:
    inner, zeros, queue, letters = [1], np.zeros(3), deque([1], maxlen=2), Counter("a")
    outer = {"inner": inner, "array": zeros, "queue": queue, "letters": letters, "gone": 1}
    content = {"new": 0, "letters": {"b": 2}, "queue": deque([2, 3]), "array": np.ones(3), "inner": [4, [5]]}
    items, owner = holder(outer)
    assert assign(owner, "it", "plain", content)
    assert items["it"] is outer
    assert list(outer) == list(content)
    assert (inner, queue, letters) == ([4, [5]], deque([2, 3], maxlen=2), Counter("bb"))
    assert zeros.tolist() == [1.0, 1.0, 1.0]
    assert all(outer[n] is v for n, v in {"inner": inner, "queue": queue, "letters": letters}.items())
    assert assign(owner, "it", "plain", [1])
    assert items["it"] == [1], "another kind of container replaces it"


def test_kept_value_stays_as_it_is() -> None:
    items = [1, 2]
    kept, other = known(items, keep=True), known(items)
    items.append(3)
    assert (kept.content, other.content) == ([1, 2], [1, 2, 3])
    assert kept.token == other.token != known(items).token


def test_what_cannot_be_saved_has_no_content() -> None:
    for value, kind in (
        (itertools.count(), "iterator"),
        (iter([1]), "iterator"),
        (object(), "opaque"),
        (Pair(1, 2), "opaque"),
        (len, "opaque"),
    ):
        assert known(value).kind == kind
        assert not known(value).can_be_saved
    for first, second in (
        (np.array([1, None], object), np.array([2, None], object)),
        (np.ma.masked_array([1, 2], [True, False]), np.ma.masked_array([1, 2], [True, True])),
    ):
        assert known(first).token == known(first.copy()).token != known(second).token
        assert not known(first).can_be_saved
    assert known(Pair(1, 2)).token == known(Pair(1, 2)).token != known(Pair(1, 3)).token
    assert UserValue.of(logging.getLogger("a")) is None
    assert UserValue.of(random.SystemRandom()) is None, "it has no state"


def test_only_a_plain_value_can_be_made_anew() -> None:
    assert known(1).can_follow(None)
    assert known([1]).can_follow(known(None))
    assert not known(Counter()).can_follow(known(None)), "its class is not saved"
    assert not known(np.random.default_rng(1)).can_follow(None)
    assert not known(Phase.FIRST).can_follow(known(1))


def test_context_variable_counts_if_it_has_a_value() -> None:
    variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable")
    assert UserValue.of(variable) is None
    variable.set([1])
    before = known(variable)
    _, owner = holder(variable)
    assert assign(owner, "it", "context variable", [2])
    assert variable.get() == [2]
    assert known(variable).token != before.token
    variable.set(object())
    assert known(variable).kind == "opaque"


def test_value_of_another_kind_is_not_set() -> None:
    _, owner = holder((1, np.random.default_rng(1)))
    assert not assign(owner, "it", "random", random.Random(1).getstate())
    pair, items = owner_of_items("pair", (1, 2), tuple, is_silent=False), [1]
    assert not assign(pair, "0", "plain", 3), "a tuple cannot be changed"
    assert assign(owner_of_items("items", items, list, is_silent=False), "0", "plain", 3)
    assert items == [3]
