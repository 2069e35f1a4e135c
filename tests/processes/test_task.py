"""The task of children: its environment, and the check of its script."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest

from keras_repro.errors import LaunchError
from keras_repro.processes.task import Task, check_task
from keras_repro.provenance.input_files import roots


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.py", "no script at none.py"),
        ("book.ipynb", "book.ipynb is a notebook: call trainer.verify"),
        (".", ". is a folder without __main__.py: give a script, or -m and a module"),
        ("app.pyz", "app.pyz is an archive without __main__.py: give a script"),
    ],
)
def test_missing_script_is_refused(here: Path, name: str, message: str) -> None:
    with ZipFile("app.pyz", "w") as archive:
        archive.writestr("train.py", "")
    with pytest.raises(LaunchError, match=f"^{message}"):
        check_task(Task(script=name))


def test_archive_and_folder_with_a_main_module_are_scripts(here: Path) -> None:
    with ZipFile("app.pyz", "w") as archive:
        archive.writestr("__main__.py", "")
    (here / "app").mkdir()
    (here / "app" / "__main__.py").write_text("")
    for name in ("app.pyz", "app"):
        check_task(Task(script=name))
    assert roots("app")["script's folder"] == here / "app"
    assert roots("app.pyz")["script's folder"] == here


def test_child_has_the_environment_of_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    monkeypatch.setenv("OF_THE_CALLER", "kept")
    task = Task(script="a.py", max_epochs=2, max_steps=3)
    assert [task.environment(n)["PYTHONHASHSEED"] for n in (0, 1)] == ["1", "2"]
    assert task.environment(0)["OF_THE_CALLER"] == "kept"
    assert task.environment(0)["KERAS_MAX_EPOCHS"] == "2"
    assert task.environment(0)["KERAS_MAX_STEPS_PER_EPOCH"] == "3"
    assert Task(script="a.py", keep_hash_seed=True).environment(1)["PYTHONHASHSEED"] == "77"
    pinned = Task(script="a.py", seed=5, pinned={"PYTHONHASHSEED": "5"})
    assert [pinned.environment(n)["PYTHONHASHSEED"] for n in (0, 1)] == ["5", "5"]
