"""Hooks run around calls, and the function stays as it was for everybody else."""

from __future__ import annotations

import copy
import functools
import inspect
import os
import pickle
import subprocess
import sys
import traceback
import types
from collections.abc import Iterator
from typing import Any

import pytest

from keras_repro.training.backends.hooks import Call, Steps, add_hook


class Owner:
    """A class with a function of each kind."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def method(self, first: Any, *others: Any, key: Any = None, **more: Any) -> Any:
        if first == "fail":
            raise ValueError(first)
        if first == "nothing":
            return
        try:
            return [first, *others, key, *more.values()]
        finally:
            self.values.append(first)

    @staticmethod
    def static(value: Any) -> Any:
        return value

    @classmethod
    def of_class(cls, value: Any) -> Any:
        return cls, value

    @property
    def size(self) -> int:
        return len(self.values)

    @size.setter
    def size(self, value: int) -> None:
        self.values = [0] * value

    def numbers(self) -> Iterator[int]:
        yield from range(3)


def passing_on(function: Any) -> Any:
    @functools.wraps(function)
    def pass_on(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return pass_on


@passing_on
def decorated(first: int, second: int = 2) -> int:
    return first + second


def plain(value: Any) -> Any:
    return value


@pytest.fixture
def hook() -> Iterator[Any]:
    """Add a hook that notes calls and results; return the notes. It is removed after the test."""
    undo = []

    def add(owner: Any, name: str) -> list[Any]:
        notes: list[Any] = []

        def handler(call: Call) -> Steps:
            notes.append(dict(call.arguments))
            try:
                yield
            except BaseException as error:
                notes.append(error)
                raise
            notes.append(call.result)

        undo.append(add_hook(owner, name, handler))
        return notes

    yield add
    for each in undo:
        each()


def test_handler_gets_arguments_and_result(hook: Any) -> None:
    owner, before = Owner(), Owner.method
    notes = hook(Owner, "method")
    assert owner.method(1, 2, key=3, word=4) == [1, 2, 3, 4]
    assert notes == [{"self": owner, "first": 1, "key": 3, "others": (2,), "more": {"word": 4}}, [1, 2, 3, 4]]
    assert owner.values == [1]
    assert owner.method("nothing") is None
    assert notes[2:] == [
        {"self": owner, "first": "nothing", "key": None, "others": (), "more": {}},
        None,
    ]
    assert Owner.method is before


def test_functions_of_all_kinds_have_hooks(hook: Any) -> None:
    owner = Owner()
    for name, call, arguments, result in (
        ("static", lambda: Owner.static(1), {"value": 1}, 1),
        ("of_class", lambda: Owner.of_class(1), {"cls": Owner, "value": 1}, (Owner, 1)),
        ("size", lambda: setattr(owner, "size", 2), {"self": owner, "value": 2}, None),
        ("__init__", Owner, None, None),
    ):
        notes = hook(Owner, name)
        call()
        assert notes[1] == result
        assert arguments in (None, notes[0])
    generated = hook(Owner, "numbers")
    assert list(owner.numbers()) == [0, 1, 2]
    assert generated[0] == {"self": owner}


def test_arguments_of_a_decorated_function_have_no_defaults(hook: Any) -> None:
    notes = hook(sys.modules[__name__], "decorated")
    assert decorated(1) == 3
    assert notes == [{"first": 1}, 3]
    with pytest.raises(TypeError, match=r"^decorated\(\) got an unexpected keyword argument 'third'$"):
        decorated(third=1)
    assert len(notes) == 2


def test_handlers_are_nested_and_removed() -> None:
    order: list[str] = []

    def named(name: str) -> Any:
        def handler(call: Call) -> Steps:
            order.append(f"{name} begins")
            yield
            order.append(f"{name} ends")

        return handler

    def before(call: Call) -> None:
        order.append("before")

    first = named("first")
    undo = [add_hook(Owner, "static", h) for h in (first, first, named("second"), before)]
    Owner.static(1)
    assert order == ["before", "second begins", "first begins", "first ends", "second ends"]
    for each in undo:
        each()
    order.clear()
    assert Owner.static(1) == 1
    assert order == []


def test_handler_changes_arguments() -> None:
    def double(call: Call) -> None:
        call.arguments["value" if "value" in call.arguments else "second"] = 20

    undo = add_hook(Owner, "static", double), add_hook(sys.modules[__name__], "decorated", double)
    assert (Owner.static(1), decorated(1)) == (20, 21)
    for each in undo:
        each()
    assert (Owner.static(1), decorated(1)) == (1, 3)


def test_error_keeps_its_traceback(hook: Any) -> None:
    def printed() -> str:
        try:
            Owner().method("fail")
        except ValueError:
            return traceback.format_exc()
        raise AssertionError

    before = printed()
    notes = hook(Owner, "method")
    assert printed() == before
    assert isinstance(notes[1], ValueError)


def test_error_of_a_handler_is_raised_with_its_own_frames() -> None:
    def fail(call: Call) -> None:
        raise RuntimeError("of the handler")

    undo = add_hook(Owner, "static", fail)
    with pytest.raises(RuntimeError, match="of the handler") as caught:
        Owner.static(1)
    undo()
    assert caught.traceback[-1].name == "fail"


def test_changed_function_is_the_same_for_its_users(hook: Any) -> None:
    def look(function: Any) -> list[Any]:
        return [
            inspect.signature(function),
            inspect.getsource(function),
            function.__code__.co_freevars,
            function.__code__.co_firstlineno,
            pickle.dumps(function),
            list(vars(function)),
        ]

    before = look(Owner.method), look(decorated), decorated
    hook(Owner, "method")
    hook(sys.modules[__name__], "decorated")
    assert (look(Owner.method), look(decorated), decorated) == before
    assert copy.deepcopy(Owner.method) is Owner.method


def test_hook_of_a_function_that_was_changed_by_others_replaces_it(hook: Any) -> None:
    changed = compile("def plain(value):\n    return [value]\n", __file__, "exec").co_consts[0]
    original = plain
    plain.__code__ = changed  # no longer what the source says
    module = sys.modules[__name__]
    notes = hook(module, "plain")
    assert plain is not original
    assert module.plain(3) == [3]  # type: ignore[attr-defined]
    assert notes == [{"value": 3}, [3]]
    assert type(plain) is types.FunctionType
    assert pickle.loads(pickle.dumps(plain)) is plain
    assert str(inspect.signature(plain)) == "(value: 'Any') -> 'Any'"


STEPS = """\
import os, sys
from keras_repro.training.backends.hooks import add_hook, hide_from_debuggers

def f(value):
    return value

def handler(call):
    seen.append(call.arguments["value"])
    yield

def trace(frame, event, argument):
    line, file = frame.f_lineno - f.__code__.co_firstlineno, os.path.basename(frame.f_code.co_filename)
    steps.append((event, line, file))
    return trace

def traced():
    steps.clear()
    sys.settrace(trace)
    f(3)
    sys.settrace(None)
    return steps[:]

steps, seen = [], []
bare = traced()
add_hook(sys.modules["__main__"], "f", handler)
assert traced() != bare and seen == [3]
hide_from_debuggers()
assert traced() == bare and seen == [3, 3]
print(bare)
"""


def test_no_debugger_sees_a_hidden_handler(tmp_path: Any) -> None:
    script = tmp_path / "steps.py"
    script.write_text(STEPS)
    ended = subprocess.run(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        ended.stdout == "[('call', 0, 'steps.py'), ('line', 1, 'steps.py'), ('return', 1, 'steps.py')]\n"
    ), ended.stderr
