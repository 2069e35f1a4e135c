"""Input files in the ledger of a launched script: data and its own code, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import Child

from keras_repro.training.probes.file_access import InputFiles

SCRIPT = """
import os, sys
import h5py, keras, numpy as np
from own import scale
keras.utils.set_random_seed(1)
x = scale(np.load("x.npy"))
with h5py.File("y.h5") as file:
    y = file["y"][:]
names = open("names.txt").read()
with open("log.txt", "w") as log:
    log.write(names)
np.save("cache.npy", x)
np.load("cache.npy")
descriptor = os.open("raw.bin", os.O_RDONLY); os.close(descriptor)
texts = keras.utils.text_dataset_from_directory("texts", verbose=False)
next(iter(texts))
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(x, y, verbose=0)
model.save_weights("w.weights.h5")
"""


def test_ledger_lists_files_that_were_read(written: Callable[..., str], launched: Any, here: Path) -> None:
    (here / "own.py").write_text("def scale(x):\n    return x * 2\n")
    np.save(here / "x.npy", np.ones((4, 2), "float32"))
    with h5py.File(here / "y.h5", "w") as file:
        file["y"] = np.ones((4, 1), "float32")
    for name in ("names.txt", "raw.bin", "unread.txt"):
        (here / name).write_text("text")
    for label in "ab":
        (here / "texts" / label).mkdir(parents=True)
        (here / "texts" / label / "1.txt").write_text(label)
    child: Child = launched(written(SCRIPT))
    assert child.outcome.code == 0, child.output
    inputs = child.records[-1]["inputs"]
    assert [f["path"] for f in inputs["files"]] == [
        "names.txt",
        "own.py",
        "raw.bin",
        "texts/a/1.txt",
        "texts/b/1.txt",
        "x.npy",
        "y.h5",
    ]
    assert {f["root"] for f in inputs["files"]} == {"working folder"}


@pytest.mark.parametrize(
    ("event", "args", "read"),
    [
        ("open", ("x.npy", "rb", 0), True),
        ("open", (b"x.npy", None, 0), True),
        ("open", (3, "rb", 0), False),
        ("open", ("x.npy", "r+b", 0), False),
        ("open", ("x.npy", None, 1), False),
        ("open", ("/proc/cpuinfo", "r", 0), False),
        ("open", ("a/site-packages/x.npy", "rb", 0), False),
        ("open", ("__pycache__/x.cpython-311.pyc", "rb", 0), False),
        ("import", ("x.npy", None, 0), False),
    ],
)
def test_only_user_files_opened_for_reading_are_inputs(here: Path, event: str, args: Any, read: bool) -> None:
    files = InputFiles()
    before = set(files.paths())
    files.on_audit_event(event, args)
    assert bool(set(files.paths()) - before) == read


def test_file_that_is_written_later_is_not_an_input(here: Path) -> None:
    files = InputFiles()
    files.on_audit_event("open", ("x.npy", "rb", 0))
    files.on_audit_event("open", ("x.npy", "wb", 0))
    assert str(here / "x.npy") not in files.paths()


def test_project_in_the_folder_of_python_has_inputs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.prefix", str(here))
    files = InputFiles()
    for path in ("work/x.npy", "lib/libcudart.so", "share/locale/de.mo", "conda-meta/history"):
        files.on_audit_event("open", (path, "rb", 0))
    assert [p for p in files.paths() if p.startswith(str(here))] == [str(here / "work" / "x.npy")]
