"""Whose code a file is: one table of all places where code can be."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import zipfile
from pathlib import Path

import pytest

import keras_repro
from keras_repro.source_code.ownership import is_of_library, is_users_class, is_users_file, short_path

# What is on `sys.path`, in folders that stand for a machine.
_PATH = (
    "project",
    "shared",
    "project/target",
    "project/.venv/lib/python3.11/site-packages",
    "editable/src",
    "archive/app.pyz",
    "conda/lib/python3.11/site-packages",
)

_CASES = {
    "the script": ("project/train.py", True),
    "a module next to it": ("project/helpers/data.py", True),
    "a module in a folder of PYTHONPATH": ("shared/losses.py", True),
    "the user's own project, installed as editable": ("editable/src/mine/model.py", True),
    "a file that Python does not import from": ("elsewhere/notes.py", True),
    "a folder that is only named after one": ("project/my-site-packages/a.py", True),
    "a folder named after a framework": ("project/tensorflow/train.py", True),
    "a cell of a notebook": ("tmp/ipykernel_123/4567.py", True),
    "a cell of an old IPython": ("<ipython-input-3-0123456789ab>", True),
    "a line typed into Python": ("<stdin>", True),
    "a zip application": ("archive/app.pyz/__main__.py", True),
    "a module of a zip application": ("archive/app.pyz/mine.py", True),
    "a package inside of a zip application": ("archive/app.pyz/installed/a.py", False),
    "a virtual environment inside of the project": (
        "project/.venv/lib/python3.11/site-packages/keras/src/a.py",
        False,
    ),
    "an environment that is not in use": ("project/old/lib/python3.9/site-packages/numpy/a.py", False),
    "conda's environment": ("conda/lib/python3.11/site-packages/scipy/a.py", False),
    "a project in conda's folder": ("conda/work/train.py", True),
    "the user's folder of packages": ("home/.local/lib/python3.11/site-packages/keras/a.py", False),
    "Debian's packages": ("usr/lib/python3/dist-packages/numpy/a.py", False),
    "Debian's packages of pip": ("usr/local/lib/python3.11/dist-packages/numpy/a.py", False),
    "a package of pip install --target": ("project/target/installed/deep/a.py", False),
    "a module of pip install --target": ("project/target/single.py", False),
    "a file of the user's in the same folder": ("project/target/train.py", True),
    "TensorFlow from a build folder": ("build/tensorflow/python/a.py", False),
    "Keras as an editable installation": ("checkout/keras/src/a.py", False),
    "next to an editable installation of Keras": ("checkout/benchmarks/a.py", True),
    "a frozen module": ("<frozen importlib._bootstrap>", False),
    "generated text": ("<string>", False),
    "a converted function of TensorFlow": ("tmp/__autograph_generated_file1.py", False),
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install packages into folders that Python imports from, and load two frameworks from elsewhere."""
    record = "installed/deep/a.py,sha256=x,1\nsingle.py,,\n../../bin/tool,,\n"
    target = tmp_path / "project" / "target" / "installed-1.0.dist-info"
    target.mkdir(parents=True)
    (target / "RECORD").write_text(record)
    (target / "METADATA").write_text("Name: installed\n")
    # What `pip install -e` leaves in a project's own folder.
    (tmp_path / "editable" / "src" / "mine.egg-info").mkdir(parents=True)
    (tmp_path / "archive").mkdir()
    with zipfile.ZipFile(tmp_path / "archive" / "app.pyz", "w") as archive:
        archive.writestr("installed-1.0.dist-info/RECORD", "installed/a.py,,\n")
        archive.writestr("installed-1.0.dist-info/METADATA", "Name: installed\n")
    monkeypatch.setattr(sys, "path", [*(str(tmp_path / p) for p in _PATH), *sys.path])
    for name, folder in (("tensorflow", "build/tensorflow"), ("keras", "checkout/keras")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "__init__.py").write_text("")
        monkeypatch.delitem(sys.modules, name, raising=False)
        spec = importlib.util.spec_from_file_location(name, tmp_path / folder / "__init__.py")
        assert spec is not None
        monkeypatch.setitem(sys.modules, name, importlib.util.module_from_spec(spec))
    return tmp_path


@pytest.mark.parametrize("case", _CASES)
def test_owner_of_a_file_is_known(case: str, machine: Path) -> None:
    file, expected = _CASES[case]
    assert is_users_file(file if file.startswith("<") else str(machine / file)) is expected


def test_standard_library_and_this_package_are_not_the_users() -> None:
    for module in (json, os, re, keras_repro):
        assert not is_users_file(str(module.__file__))
    assert is_users_file(__file__)


def test_script_itself_is_always_the_users(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = machine / "conda" / "lib" / "python3.11" / "site-packages" / "mine"
    # A worker of pytest-xdist has no file.
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(package / "train.py"), raising=False)
    assert is_users_file(str(package / "train.py"))
    assert not is_users_file(str(package / "other.py"))


def test_class_belongs_to_the_owner_of_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own:
        pass

    assert is_users_class(Own)
    assert not is_users_class(json.JSONDecoder)
    assert not is_users_class(int)
    monkeypatch.setattr(Own, "__module__", "none.such")
    assert not is_users_class(Own)
    monkeypatch.setattr(Own, "__module__", "__main__")
    assert is_users_class(Own)
    assert not is_of_library(sys._getframe())


def test_library_is_named_from_its_package_on(machine: Path) -> None:
    for file, short in (
        ("project/.venv/lib/python3.11/site-packages/keras/src/a.py", "keras/src/a.py"),
        ("project/target/installed/deep/a.py", "installed/deep/a.py"),
        ("project/helpers/data.py", "data.py"),
        ("elsewhere/lib/python3.11/site-packages/b/a.py", "a.py"),
    ):
        assert short_path(str(machine / file)) == short
