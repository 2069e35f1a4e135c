"""One script gives one fingerprint wherever TensorFlow, Keras and this package are installed.

Each installation is made of links to the packages of the environment that runs the tests.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keras_repro.ledger.reader import open_ledger

REPOSITORY = Path(__file__).resolve().parents[1]
SITE = Path("lib") / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
BASE = Path(sys.base_prefix).resolve()
PYTHON = BASE / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
# `Scaled.inner` is found since the class is the user's; TensorFlow's own wrappers of dict and list are not.
PARTS = """\
import keras
import tensorflow as tf

class Inner:
    def __init__(self):
        self.factor = tf.Variable(2.0, name="factor")

class Scaled(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.inner, self.options, self.sizes = Inner(), {"a": 1}, [1, 2]

    def call(self, x):
        return x * self.inner.factor
"""
SCRIPT = """\
import keras
import numpy as np
from parts import Scaled

x = np.arange(32, dtype="float32").reshape(8, 4) / 32
model = keras.Sequential([keras.Input((4,)), Scaled(), keras.layers.Dropout(0.2), keras.layers.Dense(1)])
model.compile("adam", "mse", metrics=["mae"])
model.fit(x, x[:, :1], epochs=1, verbose=0)
"""
Made = tuple[Path, dict[str, str]]


def installed_packages() -> dict[str, Path]:
    """Return what is in the folders of installed packages, with the repository's own package."""
    spec = importlib.util.find_spec("tensorflow")
    assert spec is not None
    assert spec.origin is not None
    folders = {Path(sysconfig.get_path("platlib")), Path(spec.origin).parents[1]}
    entries = {e.name: e for folder in folders for e in folder.iterdir() if e.suffix != ".pth"}
    skipped = [n for n in entries if n.startswith(("__", "keras_repro"))]
    return {n: e for n, e in entries.items() if n not in skipped} | {
        "keras_repro": REPOSITORY / "keras_repro"
    }


def link(folder: Path, *, without: tuple[str, ...] = ()) -> Path:
    """Install all packages into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, entry in installed_packages().items():
        if name not in without:
            (folder / name).symlink_to(entry)
    return folder


def environment(folder: Path, python: Path = PYTHON, *options: str) -> Path:
    """Make an empty virtual environment; return its interpreter."""
    subprocess.run([python, "-m", "venv", "--without-pip", *options, folder], check=True)
    return folder / "bin" / "python"


def in_project(project: Path) -> Made:
    link(project / ".venv" / SITE)
    return environment(project / ".venv"), {}


def in_environment(project: Path) -> Made:
    link(project.parent / "environment" / SITE)
    return environment(project.parent / "environment"), {}


def for_user(project: Path) -> Made:
    link(project.parent / "home" / SITE)
    return PYTHON, {"PYTHONUSERBASE": str(project.parent / "home")}


def with_target(project: Path) -> Made:
    return PYTHON, {"PYTHONPATH": str(link(project / "target")), "PYTHONNOUSERSITE": "1"}


def with_path_file(project: Path) -> Made:
    python = environment(project.parent / "environment")
    packages = link(project.parent / "packages")
    (project.parent / "environment" / SITE / "packages.pth").write_text(f"{packages}\n")
    return python, {}


def editable(project: Path) -> Made:
    """The frameworks, this package and the user's own project are all editable."""
    names = ("tensorflow", "keras", "keras_repro")
    site = link(project.parent / "environment" / SITE, without=names)
    folders = [project.parent / "checkout" / name for name in (*names, "mine")]
    for name, folder in zip(names, folders, strict=False):
        folder.mkdir(parents=True)
        (folder / name).symlink_to(installed_packages()[name])
    folders[-1].mkdir()
    (project / "parts.py").rename(folders[-1] / "parts.py")
    (folders[-1] / "mine.egg-info").mkdir()
    (site / "__editable__.all.pth").write_text("".join(f"{folder}\n" for folder in folders))
    return environment(project.parent / "environment"), {}


def prefix(project: Path) -> Made:
    """A whole Python in a folder of its own, as conda makes it, with the project in the same folder."""
    folder, standard = project.parent, BASE / SITE.parent
    (folder / SITE.parent).mkdir(parents=True)
    for entry in standard.iterdir():
        if entry.name != SITE.name:
            (folder / SITE.parent / entry.name).symlink_to(entry)
    (folder / "bin").mkdir()
    (folder / "conda-meta").mkdir()
    shutil.copy(PYTHON, folder / "bin" / "python")
    for library in (BASE / "lib").glob("libpython*"):
        (folder / "lib" / library.name).symlink_to(library)
    link(folder / SITE)
    return folder / "bin" / "python", {"PYTHONNOUSERSITE": "1"}


def with_system_packages(project: Path) -> Made:
    python, _ = prefix(project)
    return environment(project.parent / "environment", python, "--system-site-packages"), {}


INSTALLATIONS: tuple[Callable[[Path], Made], ...] = (
    in_project,
    in_environment,
    for_user,
    with_target,
    with_path_file,
    editable,
    prefix,
    with_system_packages,
)


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """Run the script once in each installation; return the run folders."""

    def run(make: Callable[[Path], Made]) -> Path:
        project = tmp_path / make.__name__ / "project"
        project.mkdir(parents=True)
        (project / "train.py").write_text(SCRIPT)
        (project / "parts.py").write_text(PARTS)
        python, variables = make(project)
        own = {n: v for n, v in os.environ.items() if not n.startswith("PYTHON")}
        ended = subprocess.run(
            [python, "-m", "keras_repro", "run", "--run-dir", "run", "--json", "result.json", "train.py"],
            cwd=project,
            env=own | {"TF_CPP_MIN_LOG_LEVEL": "3"} | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, f"{make.__name__}: {ended.stderr}"
        return project

    with ThreadPoolExecutor(2) as pool:
        runs = pool.map(run, INSTALLATIONS)
        yield {make.__name__: folder for make, folder in zip(INSTALLATIONS, runs, strict=True)}


def test_fingerprint_is_the_same_in_all_installations(folders: dict[str, Path]) -> None:
    results = {n: json.loads((f / "result.json").read_text())["fingerprint"] for n, f in folders.items()}
    assert len(results) == 8
    assert len(set(results.values())) == 1, results
    for name, folder in folders.items():
        ledger = open_ledger(folder / "run")
        records = list(ledger.records())
        assert "layers/0/inner/factor" in records[1]["tensors"]["weights"], name
        # No file of an installed package is an input, whether it is in the project or not.
        outside = name == "editable"
        assert [f["path"] for f in records[-1]["inputs"]["files"]] == ([] if outside else ["parts.py"]), name
        assert ledger.notes == [], name
