"""A short form of `make crash-test`: five real kills, and crashes at every change of a small run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crash import small_run
from crash.deaths import deaths
from crash.disk import Change, RecordedDisk
from crash.kills import Kills, Kind
from crash.points import Points
from crash.states import Tree, after_the_machine, after_the_process
from forkserver import ForkServer

from keras_repro.storage import atomic_files

NOTHING = Tree({}, frozenset())


def test_run_killed_five_times_equals_uninterrupted_run(forkserver: ForkServer, tmp_path: Path) -> None:
    kinds = (Kind("mlp", "3"), Kind("gan", "2"))
    scores = Kills(forkserver, tmp_path).scores(kinds, count=5)
    assert [s.bad for s in scores] == [[], []]
    assert sum(s.kills for s in scores) >= 5
    assert sum(s.same for s in scores) == sum(s.runs for s in scores) >= 2


def test_small_run_is_resumed_after_crash_at_every_change(forkserver: ForkServer, tmp_path: Path) -> None:
    points = Points(tmp_path / "work", small_run.train)
    for recorded in points.recorded():
        kinds = {c.kind for c in recorded.changes}
        assert {"create", "write", "fsync", "fsync names", "rename", "unlink"} <= kinds
        process = points.score(recorded, "process", resume="few")
        machine = points.score(recorded, "machine", resume="few")
        assert process.bad == machine.bad == []
        assert process.points > 30
        assert machine.states > 10 * process.points
        if recorded.start.files:
            assert "truncate" in kinds
            continue
        middle = len(recorded.changes) // 2
        killed = deaths(points, recorded, forkserver, tmp_path / "stopped", numbers=(middle, middle + 1))
        assert killed.bad == []
        assert killed.resumed == 2


def test_missing_sync_of_folder_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic_files, "sync", lambda path: None)
    points = Points(tmp_path, small_run.train)
    recorded = next(points.recorded())
    (bad,) = points.score(recorded, "machine", resume="few", most_bad=1).bad
    assert "resume-epoch-1-step-2.h5 is lost" in bad


def test_unrecorded_write_is_detected(tmp_path: Path) -> None:
    def train(folder: Path) -> dict[str, Any]:
        with open(folder / "note", "w") as file:
            file.write("not recorded")
        return {}

    with pytest.raises(AssertionError, match="a change was not recorded"):
        next(Points(tmp_path, train).recorded())


@pytest.fixture
def changes(tmp_path: Path) -> Callable[[Callable[[Path], None]], tuple[Change, ...]]:
    """Return the changes that a function makes to a folder."""

    def record(function: Callable[[Path], None]) -> tuple[Change, ...]:
        folder = tmp_path / "folder"
        folder.mkdir()
        with RecordedDisk(folder) as disk:
            function(folder)
        assert NOTHING.after(disk.changes) == Tree.read(folder)
        return tuple(disk.changes)

    return record


def test_file_that_is_renamed_into_place_is_never_torn(changes: Any) -> None:
    def renamed(folder: Path) -> None:
        with atomic_files.atomic_write(folder / "a") as temporary:
            temporary.touch()

    recorded = changes(renamed)
    assert [c.kind for c in recorded] == ["create", "fsync", "rename", "fsync names"]
    part = {"a.part"}
    processes = [set(s.tree.files) for s in after_the_process(NOTHING, recorded)]
    assert processes == [set(), part, part, {"a"}, {"a"}]
    assert [set(s.tree.files) for s in after_the_machine(NOTHING, recorded)] == [set(), part, {"a"}]


def test_write_that_is_not_durable_may_arrive_in_part(changes: Any) -> None:
    def written(folder: Path) -> None:
        descriptor = os.open(folder / "a", os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, b"0123")
        os.close(descriptor)

    recorded = changes(written)
    machines = [s.tree.files.get("a") for s in after_the_machine(NOTHING, recorded)]
    assert set(machines) == {None, b"", b"0123", b"01", b"\0\0\0\0", b"01\0\0", b"\0\x0023"}
    processes = [s.tree.files.get("a") for s in after_the_process(NOTHING, recorded)]
    assert processes == [None, b"", b"0", b"01", b"012", b"0123"]
