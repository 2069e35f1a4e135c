"""Code with calls of hooks: which functions get it, and which lines it has."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from keras_repro.training.backends.hooked_code import EVENT, hooked_code, parameters

SOURCE = '''\
import os.path


class Base:
    def method(self, value):
        return value


class Child(Base):
    """A class whose methods use super() and private names."""

    __private = 3

    def method(self, value, *more, option=None, **options):
        """Return values."""
        if value == "inner":
            def inner():
                return [self.__private, value]
            return inner()
        if value is None:
            return None
        joined = os.path.join(
            "a",
            "b")
        return (super().method(value),
                joined, more, option, options)


def make(cell):
    def closure(x=1):
        cell.append(x)

    return closure


def local(a):
    return sorted(locals())


async def coroutine():
    return 1


def raises(a):
    a = [a]
    raise KeyError(a)
'''


@pytest.fixture
def module(tmp_path: Path) -> Any:
    path = tmp_path / "written.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("written", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def calls_of(function: Any) -> list[Any]:
    """Insert calls into a function; return a list of what they pass on."""
    calls: list[Any] = []

    def audit(event: str, state: list[Any], hooks: Any, *result: Any) -> None:
        assert event == EVENT
        if hooks is None:
            state.clear()
            calls.append(result or sys.exc_info()[1])
        else:
            calls.append((hooks, *state))

    code = hooked_code(function, dispatch=SimpleNamespace(audit=audit), hooks="hooks")
    assert code is not None
    function.__code__ = code
    return calls


def test_calls_are_inserted_at_the_start_and_at_each_end(module: Any) -> None:
    calls = calls_of(module.Child.method)
    child = module.Child()
    assert child.method(1, 2, option=3, other=4) == (1, "a/b", (2,), 3, {"other": 4})
    assert calls == [
        ("hooks", (child, 1, 3, (2,), {"other": 4})),
        ((1, "a/b", (2,), 3, {"other": 4}),),
    ]
    assert child.method("inner") == [3, "inner"]
    assert calls[3:] == [([3, "inner"],)]
    assert child.method(None) is None
    assert calls[5:] == [(None,)]


def test_calls_are_inserted_into_a_closure(module: Any) -> None:
    cell: list[int] = []
    closure = module.make(cell)
    calls = calls_of(closure)
    assert closure() is None
    assert closure(2) is None
    assert cell == [1, 2]
    assert calls == [("hooks", (1,)), (None,), ("hooks", (2,)), (None,)]


def test_error_is_passed_on(module: Any) -> None:
    calls = calls_of(module.raises)
    with pytest.raises(KeyError) as caught:
        module.raises(1)
    assert calls == [("hooks", (1,)), caught.value]
    line = SOURCE.splitlines().index("    raise KeyError(a)")
    assert [entry.lineno for entry in caught.traceback] == [caught.traceback[0].lineno, line]


def test_lines_stay_the_same(module: Any) -> None:
    def lines(function: Any) -> list[int]:
        steps: list[int] = []

        def trace(frame: Any, event: str, argument: Any) -> Any:
            if frame.f_code.co_filename != module.__file__:
                return None
            steps.append(frame.f_lineno)
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            function()
        finally:
            sys.settrace(before)
        return steps

    child = module.Child()
    before = lines(lambda: child.method(1))
    assert len(before) > 10
    calls_of(module.Child.method)
    assert lines(lambda: child.method(1)) == before


def test_functions_that_would_notice_get_none(module: Any) -> None:
    for function in (module.local, module.coroutine):
        assert hooked_code(function, dispatch=None, hooks=None) is None


def test_code_of_another_source_gets_none(module: Any) -> None:
    Path(module.__file__).write_text(SOURCE.replace("a = [a]", "a = (a,)"))
    assert hooked_code(module.raises, dispatch=None, hooks=None) is None
    Path(module.__file__).write_text("no Python")
    assert hooked_code(module.raises, dispatch=None, hooks=None) is None
    Path(module.__file__).unlink()
    assert hooked_code(module.raises, dispatch=None, hooks=None) is None


def test_names_of_parameters() -> None:
    def function(a: Any, /, b: Any, *c: Any, d: Any, **e: Any) -> None:
        f = a  # noqa: F841

    assert parameters(function.__code__) == ("a", "b", "d", "c", "e")
