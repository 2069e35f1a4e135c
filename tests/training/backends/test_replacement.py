"""Replacements of functions and classes in C."""

from __future__ import annotations

import array
import inspect
import math
import pickle
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from keras_repro.training.backends.hooks import Call, Steps, add_hook


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module that other code takes `cos` and a class in C from, and which defines neither."""
    module = types.ModuleType("kinds")
    monkeypatch.setitem(sys.modules, "kinds", module)
    monkeypatch.setattr(module, "array", array.array, raising=False)
    for owner in (module, math):
        monkeypatch.setattr(owner, "cos", math.cos, raising=False)
    return module


@pytest.fixture
def notes(kinds: Any) -> Iterator[list[Any]]:
    seen: list[Any] = []

    def handler(call: Call) -> Steps:
        yield
        seen.append((call.arguments, call.result))

    undo = [add_hook(kinds, name, handler) for name in ("cos", "array")]
    yield seen
    for each in undo:
        each()


def test_replaced_function_is_pickled_by_name(kinds: Any, notes: list[Any]) -> None:
    assert kinds.cos(0) == 1.0
    assert notes == [({"x": 0}, 1.0)]
    assert math.cos is kinds.cos
    assert b"math" in pickle.dumps(kinds.cos)
    assert pickle.loads(pickle.dumps(kinds.cos)) is kinds.cos
    assert (kinds.cos.__name__, str(inspect.signature(kinds.cos))) == ("cos", "(x, /)")
    with pytest.raises(TypeError, match=r"^math.cos\(\) takes exactly one argument \(2 given\)$"):
        kinds.cos(1, 2)
    with pytest.raises(TypeError, match=r"^must be real number, not str$"):
        kinds.cos("1")


def test_replaced_class_takes_instances_for_its_own(kinds: Any, notes: list[Any]) -> None:
    made = kinds.array("i", [1, 2])
    assert notes[0][1] is made
    assert type(made) is not kinds.array
    assert isinstance(made, kinds.array)
    assert issubclass(type(made), kinds.array)
    assert not isinstance([], kinds.array)
    assert pickle.loads(pickle.dumps(made)) == made
    for kind in (kinds.array, type(made)):
        assert pickle.loads(pickle.dumps(kind)) is kind

    class Mine(kinds.array):  # type: ignore[misc, name-defined]
        pass

    assert type(Mine("i", [1])) is Mine
    assert isinstance(Mine("i", [1]), kinds.array)
    assert not isinstance(made, Mine)
    assert len(notes) == 1
