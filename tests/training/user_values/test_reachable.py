"""What the walk over the user's code reaches, and that a change of it is noticed without a walk."""

from __future__ import annotations

import functools
import operator
import threading
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import keras
import pytest

from keras_repro.training.state.walk_cache import WalkCache
from keras_repro.training.user_values.user_values import UserValues


class Part:
    """An object that only a walk can find."""

    def __init__(self) -> None:
        self.count = 1


class Slotted:
    __slots__ = ("first", "second")


def settings_class() -> Any:
    class Settings:
        part: Any = None

        def method(self) -> Any:
            return self.part

    return Settings


shared: Any = None


def reads_a_global() -> Any:
    return shared


def reads_a_cell(cell: Any = None) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    def read() -> Any:
        return cell

    def replace(value: Any) -> None:
        nonlocal cell
        cell = value

    return read, replace


def function_with_defaults() -> Any:
    def reads(part: Any = None, *, other: Any = None) -> Any:
        return part, other

    return reads


def function_that_does_nothing() -> Any:
    def nothing() -> None:
        pass

    return nothing


def global_is_bound_again() -> tuple[Any, Callable[[Part], None]]:
    return reads_a_global, functools.partial(operator.setitem, globals(), "shared")


def cell_is_replaced() -> tuple[Any, Callable[[Part], None]]:
    return reads_a_cell()


def attribute_is_added() -> tuple[Any, Callable[[Part], None]]:
    owner = Part()
    return owner, lambda part: setattr(owner, "added", part)


def slot_is_filled() -> tuple[Any, Callable[[Part], None]]:
    owner = Slotted()
    return owner, lambda part: setattr(owner, "second", part)


def attribute_of_a_namespace_is_replaced() -> tuple[Any, Callable[[Part], None]]:
    owner = SimpleNamespace(part=Part())
    return owner, lambda part: setattr(owner, "part", part)


def attribute_of_a_thread_is_added() -> tuple[Any, Callable[[Part], None]]:
    owner = threading.local()
    return owner, lambda part: setattr(owner, "part", part)


def attribute_of_a_class_is_replaced() -> tuple[Any, Callable[[Part], None]]:
    kind = settings_class()
    return kind(), lambda part: setattr(kind, "part", part)


def method_of_a_class_is_replaced() -> tuple[Any, Callable[[Part], None]]:
    kind = settings_class()
    return kind(), lambda part: setattr(kind, "method", reads_a_cell(part)[0])


def class_of_an_object_is_replaced() -> tuple[Any, Callable[[Part], None]]:
    class Other(Part):
        part: Any = None

    owner = Part()

    def change(part: Part) -> None:
        Other.part = part
        owner.__class__ = Other

    return owner, change


def attribute_of_a_function_is_added() -> tuple[Any, Callable[[Part], None]]:
    function = function_that_does_nothing()
    return function, lambda part: setattr(function, "part", part)


def default_is_replaced() -> tuple[Any, Callable[[Part], None]]:
    function = function_with_defaults()
    return function, lambda part: setattr(function, "__defaults__", (part,))


def keyword_default_is_replaced() -> tuple[Any, Callable[[Part], None]]:
    function = function_with_defaults()
    return function, functools.partial(function.__kwdefaults__.__setitem__, "other")


def code_of_a_function_is_replaced() -> tuple[Any, Callable[[Part], None]]:
    def reads() -> Any:
        return None

    def change(part: Part) -> None:
        globals()["shared"] = part
        reads.__code__ = reads_a_global.__code__

    return reads, change


def item_of_a_list_is_replaced() -> tuple[Any, Callable[[Part], None]]:
    items = [Part()]
    return items, functools.partial(items.__setitem__, 0)


def plain_list_gets_an_object() -> tuple[Any, Callable[[Part], None]]:
    items: list[Any] = [1.0]
    return items, items.append


def key_is_added_to_a_dict() -> tuple[Any, Callable[[Part], None]]:
    items: dict[str, Any] = {}
    return items, functools.partial(items.__setitem__, "part")


def item_is_added_to_a_set() -> tuple[Any, Callable[[Part], None]]:
    items = {Part()}
    return items, items.add


def argument_of_a_partial_is_replaced() -> tuple[Any, Callable[[Part], None]]:
    function = functools.partial(function_that_does_nothing(), part=None)
    return function, functools.partial(function.keywords.__setitem__, "part")


def target_of_a_weak_reference_changes() -> tuple[Any, Callable[[Part], None]]:
    target = Part()
    return weakref.ref(target), lambda part: setattr(target, "part", part)


CHANGES = [
    value
    for value in list(vars().values())
    if getattr(value, "__annotations__", {}).get("return") == ("tuple[Any, Callable[[Part], None]]")
]


def values_of(root: Any) -> UserValues:
    return UserValues(SimpleNamespace(root=root), [])


def finds(values: UserValues, part: Part) -> bool:
    """Return whether a part is reached."""
    return any(owner.read().get("count") == part.count for owner in values.reach().owners)


@pytest.mark.parametrize("make", CHANGES)
def test_change_is_noticed(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "shared", None)
    root, change = make()
    part = Part()
    part.count = 77
    values = values_of(root)
    reached = values.reach()
    assert values.reach() is reached, "it walks although nothing has changed"
    assert not finds(values, part)
    change(part)
    with monkeypatch.context() as patch:
        patch.setattr(WalkCache, "is_valid", lambda self: True)
        assert not finds(values, part), "without the check, the change is not noticed"
    assert finds(values, part)
    assert values.reach() is values.reach()


def test_plain_values_change_without_a_walk() -> None:
    root = SimpleNamespace(count=1, items=[1.0], model=keras.Sequential([keras.layers.Dense(1)]))
    values = values_of(root)
    reached = values.reach()
    root.count, root.items = "two", [*root.items, None]
    root.items.append(3.0)
    captured = values.capture(values.reach(), {}, "values")
    assert values.reach() is not reached, "the list is another one"
    assert captured["values"] == {
        "model.root.count": ["plain", "two"],
        "model.root.items": ["plain", [1.0, None, 3.0]],
    }
    reached = values.reach()
    root.count += "!"
    root.items[0] = "one"
    captured = values.capture(values.reach(), {}, "values")
    assert values.reach() is reached
    assert captured["values"] == {
        "model.root.count": ["plain", "two!"],
        "model.root.items": ["plain", ["one", None, 3.0]],
    }
