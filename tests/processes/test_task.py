"""The task of children: its environment, and the check of its script."""

from __future__ import annotations

import pytest

from keras_repro.errors import LaunchError
from keras_repro.processes.task import Task, check_task


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.py", "no script at none.py"),
        ("book.ipynb", "book.ipynb is a notebook: call trainer.verify"),
        (".", ". is a folder: give a script, or -m and a module"),
    ],
)
def test_missing_script_is_refused(name: str, message: str) -> None:
    with pytest.raises(LaunchError, match=f"^{message}"):
        check_task(Task(script=name))


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
