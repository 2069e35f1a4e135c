"""Values of names in a running frame, and names of classes."""

from __future__ import annotations

import ast
import concurrent.futures
import json.decoder
import sys
from typing import Any

import pytest

from keras_repro.source_code.scope_values import MISSING, path_to, resolved, static_attribute, value_of


class Guarded:
    """An object whose properties must not be called."""

    kept = 3
    __slots__ = ("__hidden", "empty")

    def __init__(self) -> None:
        self.__hidden = 4

    @property
    def trap(self) -> Any:
        raise AssertionError


def test_attributes_are_read_without_calling_properties() -> None:
    guarded = Guarded()
    assert static_attribute(guarded, "kept", None) == 3
    assert static_attribute(guarded, "__hidden", None) == 4
    assert static_attribute(guarded, "empty", None) is None
    assert isinstance(static_attribute(guarded, "trap", None), property)
    assert static_attribute(guarded, "missing", 7) == 7


def test_names_stand_for_values_of_the_frame() -> None:
    guarded = Guarded()
    frame = sys._getframe()
    assert value_of(("guarded", "kept"), frame) == guarded.kept
    assert value_of(("json", "decoder"), frame) is json.decoder
    assert value_of(("len",), frame) is len
    assert value_of(("unknown",), frame) is MISSING


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("json.decoder.JSONDecoder", json.decoder.JSONDecoder),
        ("Guarded.kept", 3),
        ("dict.fromkeys", MISSING),
        ("unknown.name", MISSING),
        ("f().g", MISSING),
    ],
)
def test_dotted_names_are_resolved(code: str, value: object) -> None:
    found = resolved(ast.parse(code, mode="eval").body, sys._getframe())
    assert found is value if code != "dict.fromkeys" else callable(found)


def test_class_has_the_shortest_public_name() -> None:
    frame = sys._getframe()
    assert path_to(Guarded, frame) == "Guarded"
    assert path_to(json.decoder.JSONDecoder, frame) == "json.JSONDecoder"
    assert path_to(concurrent.futures.ThreadPoolExecutor, frame) == "concurrent.futures.ThreadPoolExecutor"
    assert path_to(type("Local", (), {"__module__": "json"}), frame) == ""
    from argparse import Namespace

    del Namespace
    import argparse as parsing

    assert path_to(parsing.Namespace, frame) == "parsing.Namespace"
