"""The examples in the package's docstrings run, all in this one process."""

from __future__ import annotations

import doctest
import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_repro as kr
from keras_repro.determinism.tf_runtime import set_op_determinism

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "docs" / "golden" / "finished.jsonl"

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "keras_repro").rglob("*.py")
    if ">>> " in path.read_text()
)
# The modules that a user meets first.
PUBLIC = {
    *(
        "keras_repro",
        "keras_repro.training.trainer.trainer",
        "keras_repro.training.recording.determinism_callback",
    ),
    *(
        "keras_repro.training.recording.loop_recorder",
        "keras_repro.comparison.compare",
        "keras_repro.workflows.verify",
    ),
    *("keras_repro.ledger.writer", "keras_repro.report.paper.report", "keras_repro.determinism.seeds"),
}


def build_model() -> Any:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


# The names that an example may use, in addition to those of its module.
GIVEN = {
    "kr": kr,
    "keras": keras,
    "build_model": build_model,
    "x": np.linspace(0, 1, 256, dtype="float32").reshape(64, 4),
    "y": (np.arange(64) % 2).astype("float32"),
}


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    set_op_determinism(False)
    keras.utils.clear_session()  # forgets the seed too


def examples_of(module: str) -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = finder.find(importlib.import_module(module), extraglobs=GIVEN)
    return [test for test in tests if test.examples]


def failures_of(test: doctest.DocTest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the failures of an example that runs in a folder with two recorded runs."""
    for run in ("run-1", "run-2"):
        (folder / "check" / run).mkdir(parents=True)
        shutil.copy(GOLDEN, folder / "check" / run / "ledger.jsonl")
    monkeypatch.chdir(folder)
    output: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=output.append)
    return "".join(output)


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = examples_of(module)
    assert tests
    for number, test in enumerate(tests):
        assert failures_of(test, tmp_path / str(number), monkeypatch) == ""


def test_public_classes_and_modules_have_an_example() -> None:
    for module in PUBLIC:
        assert module in {test.name for test in examples_of(module)}
    for name in ("ReproducibleTrainer", "DeterminismCallback", "Recorder"):
        assert ">>> " in getattr(kr, name).__doc__


def test_wrong_example_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    assert "Expected:\n    3\nGot:\n    2\n" in failures_of(test, tmp_path, monkeypatch)
