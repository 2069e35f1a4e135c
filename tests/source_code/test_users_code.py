"""The names that compiled code uses, and the functions of a class."""

from __future__ import annotations

import functools

from keras_repro.source_code.users_code import functions_of, line_of_class, names_used


class Scaled:
    """A class with one function of each kind."""

    def method(self) -> int:
        return max(settings.scale + step for step in STEPS)  # type: ignore[name-defined] # noqa: F821

    @staticmethod
    def static() -> int:
        global count
        count = 1
        return count

    @property
    def value(self) -> int:
        return 1

    @functools.cached_property
    def cached(self) -> str:
        import json.decoder

        return json.decoder.__name__

    part = functools.partialmethod(method)


def test_names_within_nested_code_are_found() -> None:
    loaded, names = names_used(Scaled.method.__code__)
    assert loaded == {"max", "settings", "STEPS"}
    assert names >= {"settings", "scale"}
    assert names_used(Scaled.static.__code__)[0] == {"count"}
    assert names_used(Scaled.cached.func.__code__)[0] == {"json.decoder"}


def test_functions_of_every_kind_are_found() -> None:
    assert [f.__name__ for f in functions_of(Scaled)] == ["method", "static", "value", "cached", "method"]


def test_line_of_a_class_is_that_of_its_first_function() -> None:
    assert line_of_class(Scaled) == "test_users_code.py:13"
    assert line_of_class(dict) == ""
