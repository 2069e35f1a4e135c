"""Functions that are called once a module is imported."""

from __future__ import annotations

import importlib
import sys
import traceback
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import Any

import pytest

from keras_repro.training.backends.import_hooks import when_imported


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "awaited_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("VALUE = 1\n")
    (folder / "inner.py").write_text("import sys\nfrom awaited_package import VALUE\nNAMES = dir()\n")
    (folder / "broken.py").write_text("raise ValueError('broken')\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return folder


def test_functions_are_called_when_the_module_is_ready(package: Path) -> None:
    calls: list[Any] = []
    when_imported("awaited_package.inner", lambda module: calls.append(("first", module.VALUE)))
    when_imported("awaited_package.inner", lambda module: calls.append(("second", module.VALUE)))
    importlib.import_module("awaited_package")
    assert calls == []
    inner = importlib.import_module("awaited_package.inner")
    assert calls == [("first", 1), ("second", 1)]
    when_imported("awaited_package.inner", lambda module: calls.append(module))
    assert calls[2:] == [inner]
    assert type(inner.__spec__) is ModuleSpec
    assert type(inner.__loader__) is SourceFileLoader
    assert vars(inner.__spec__).keys() == vars(sys.modules["awaited_package"].__spec__).keys()
    assert vars(inner.__loader__).keys() == {"name", "path"}
    sys.modules.pop("awaited_package.inner")
    importlib.import_module("awaited_package.inner")
    assert len(calls) == 3
    for name in ("awaited_package", "awaited_package.inner"):
        del sys.modules[name]


def test_failed_import_has_no_frame_of_ours_and_is_waited_for_again(package: Path) -> None:
    calls: list[Any] = []
    when_imported("awaited_package.broken", calls.append)
    when_imported("awaited_package.missing", calls.append)
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'awaited_package.missing'$"):
        importlib.import_module("awaited_package.missing")
    with pytest.raises(ValueError, match="broken") as caught:
        __import__("awaited_package.broken")
    files = [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert not [f for f in files if f.endswith("/import_hooks.py")]
    assert calls == []
    (package / "broken.py").write_text("VALUE = 2\n")
    importlib.invalidate_caches()
    assert importlib.import_module("awaited_package.broken") is calls[0]
    for name in ("awaited_package", "awaited_package.broken"):
        del sys.modules[name]
