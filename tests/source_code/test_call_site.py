"""The line of the user's code that made a call."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from keras_repro.source_code.call_site import (
    calling_object,
    frames_from,
    user_call_site,
    user_frame,
)
from keras_repro.source_code.statements import statements_of
from keras_repro.utils.source_line import SourceLine

HERE = str(Path(__file__))


class Base:
    def __init__(self) -> None:
        self.site = user_call_site(sys._getframe(), beyond=self)
        self.inner = user_call_site(sys._getframe())


class Derived(Base):
    def __init__(self) -> None:
        super().__init__()

    def owner(self, types: Any) -> Any:
        return (lambda: calling_object(sys._getframe(), types))()


def test_library_frames_are_skipped() -> None:
    sites = []

    def default(value: Any) -> str:
        sites.append(user_call_site(sys._getframe(1)))
        return "text"

    json.dumps({"a": object()}, default=default)
    line = sys._getframe().f_lineno - 1
    assert sites == [SourceLine(file=HERE, line=line)]
    assert sites[0] is not None
    assert sites[0].function == "test_library_frames_are_skipped"
    assert sites[0].code == 'json.dumps({"a": object()}, default=default)'


def test_constructor_of_the_object_is_skipped() -> None:
    derived = Derived()
    assert derived.site is not None
    assert derived.inner is not None
    assert derived.site.function == "test_constructor_of_the_object_is_skipped"
    assert derived.inner.function == "__init__"


def test_calling_object_is_the_innermost_of_the_types() -> None:
    derived = Derived()
    assert derived.owner(Base) is derived
    assert derived.owner(int | str) is None
    assert calling_object(None, Base) is None


def test_frames_are_innermost_first() -> None:
    frame = sys._getframe()
    frames = list(frames_from(frame))
    assert frames[0] is frame
    assert frames[1] is frame.f_back
    assert frames[-1].f_back is None
    assert user_frame(frame) is frame
    assert (user_frame(None), user_call_site(None), list(frames_from(None))) == (None, None, [])


def test_line_in_an_archive_has_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ZipFile(tmp_path / "app.pyz", "w") as archive:
        archive.writestr("in_archive.py", "import sys\n\ndef frame():\n    return sys._getframe()\n")
    monkeypatch.syspath_prepend(tmp_path / "app.pyz")
    frame = importlib.import_module("in_archive").frame()
    site = user_call_site(frame)
    assert site is not None
    assert (site.file, site.line) == (str(tmp_path / "app.pyz" / "in_archive.py"), 4)
    assert site.code == "return sys._getframe()"
    assert statements_of(site.file)[4].names[0] == ("sys",)
