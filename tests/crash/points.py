"""Simulate crashes of a small run at every change to its folder, and resume from each.

    python tests/crash/points.py [--all] [--deaths]

First the changes of one run are recorded, and those of a run that resumes a run killed in its middle. Each
state that a crash of the process or the machine may leave (`states`) is then opened and resumed. A state is
good if its folder opens, no acknowledged record is lost, the newest acknowledged snapshot or a newer one is
found, the resumed run ends with the fingerprint, weights and history of the uninterrupted run, and no useless
file stays in the folder.

States with the same content (lines, snapshots, files) are resumed once; with `--all` each. With `--deaths`,
real processes are killed after each change too (`deaths`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from crash.disk import Change, RecordedDisk
from crash.states import Left, Tree, after_the_machine, after_the_process

from keras_repro.errors import ReproError
from keras_repro.ledger.reader import open_ledger

Train = Callable[[Path], dict[str, Any]]
Resuming = Literal["each", "distinct", "few"]

_LEDGER = "ledger.jsonl"


@dataclass(frozen=True)
class Recorded:
    """A run with recorded changes.

    Attributes:
        name: name of the run.
        start: content of its folder before the run.
        changes: its changes to the folder.
    """

    name: str
    start: Tree
    changes: tuple[Change, ...]


@dataclass
class Score:
    """The results of one run with one model of a crash.

    Attributes:
        name: the run and the model.
        points: number of changes at which it crashed.
        states: number of different states after the crashes.
        resumed: number of resumed states; the others have the same content as one of them.
        bad: descriptions of the failures.
    """

    name: str
    points: int
    states: int = 0
    resumed: int = 0
    bad: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Opened:
    """The content of a state as it is read.

    Attributes:
        lines: the valid lines of its ledger.
        position: epoch and step of the newest snapshot.
        error: why it cannot be opened.
    """

    lines: tuple[bytes, ...] = ()
    position: tuple[int, int] | None = None
    error: str = ""


class Points:
    """Crashes of one training.

    Args:
        folder: an empty folder to work in.
        train: trains or resumes in a run folder, and returns the result.
    """

    def __init__(self, folder: Path, train: Train) -> None:
        self._folder, self._train = folder, train
        self._expected: dict[str, Any] = {}
        self._final_files: set[str] = set()
        self._problems: dict[Any, str | None] = {}
        self._opened: dict[Any, Opened] = {}

    def recorded(self) -> Iterator[Recorded]:
        """Yield the run itself, and a run that resumes it after it was killed in its middle.

        Raises:
            AssertionError: a change was not recorded, or a run differs from the first.
        """
        whole = self._record("a run", Tree({}, frozenset()))
        yield whole
        marks = [i for i, c in enumerate(whole.changes) if b'{"kind":"snapshot"' in c.data]
        # In its second epoch, with an incomplete line after its second snapshot.
        start = whole.start.after(whole.changes[: marks[1] + 2])
        torn = dict(start.files) | {_LEDGER: start.files[_LEDGER] + b'{"kind":"epo'}
        yield self._record("a resumed run", Tree(torn, start.folders))

    def _record(self, name: str, start: Tree) -> Recorded:
        folder = self._folder / name.replace(" ", "-")
        start.write(folder)
        with RecordedDisk(folder) as disk:
            result = self._train(folder)
        assert start.after(disk.changes) == Tree.read(folder), "a change was not recorded"
        self._expected = self._expected or result
        self._final_files = self._final_files or set(Tree.read(folder).files)
        assert result == self._expected
        return Recorded(name, start, tuple(disk.changes))

    def score(
        self, recorded: Recorded, model: str, *, resume: Resuming = "distinct", most_bad: int | None = None
    ) -> Score:
        """Open and resume the states that crashes of a run may leave.

        Args:
            recorded: the run.
            model: `"process"` or `"machine"`.
            resume: which states are resumed: `each`; one of those with the same lines, snapshot and files
                (`distinct`); or one of those with the same lines and snapshot (`few`).
            most_bad: number of failures after which to stop.
        """
        states = after_the_process if model == "process" else after_the_machine
        score = Score(f"{recorded.name}, the {model} dies", len(recorded.changes))
        for left in states(recorded.start, recorded.changes):
            score.states += 1
            problem = self.problem_with(left, score, resume=resume)
            if problem is not None:
                score.bad.append(f"at change {left.point}, arrived {left.words}: {problem}")
                if len(score.bad) == most_bad:
                    break
        return score

    def problem_with(self, left: Left, score: Score, *, resume: Resuming = "distinct") -> str | None:
        """Return what is wrong with a state, or with the run that resumes it; None if nothing is."""
        acknowledged = [line for line in left.kept.get(_LEDGER, b"").splitlines(True) if line[-1:] == b"\n"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = self._open(left.tree)
            if acknowledged:
                if opened.error:
                    return f"the folder cannot be opened: {opened.error}"
                if list(opened.lines[: len(acknowledged)]) != acknowledged:
                    return "an acknowledged record is lost"
                marks = [m for m in map(json.loads, acknowledged) if m["kind"] == "snapshot"]
                if marks and (opened.position or (-1, 0)) < (marks[-1]["epoch"], marks[-1]["step"]):
                    return f"the snapshot {marks[-1]['file']} is lost"
            reads: Any = (len(opened.lines), opened.position, bool(opened.error))
            if resume != "few":
                torn = left.tree.files.get(_LEDGER, b"")[-1:]
                reads = (*reads, torn, frozenset(left.tree.files) - {"lock"}, left.tree.folders)
            if resume == "each" or reads not in self._problems:
                score.resumed += 1
                folder = self._folder / "crashed"
                left.tree.write(folder)
                self._problems[reads] = self._resumed(folder, acknowledged)
        return self._problems[reads]

    def _open(self, tree: Tree) -> Opened:
        """Read a state; once for each content of the ledger and the snapshots."""
        from keras_repro.training.resume.restore_point import find_restore_point

        key = frozenset(f for f in tree.files.items() if f[0] == _LEDGER or f[0].startswith("snapshots/"))
        if key not in self._opened:
            folder = self._folder / "crashed"
            tree.write(folder)
            try:
                ledger = open_ledger(folder)
                count = 1 + sum(1 for _ in ledger.records())
                point = find_restore_point(folder)
                position = None if point is None else (point.position.epoch, point.position.step)
                lines = tree.files[_LEDGER].splitlines(True)[:count]
                self._opened[key] = Opened(tuple(lines), position)
            except ReproError as error:
                self._opened[key] = Opened(error=str(error))
        return self._opened[key]

    def _resumed(self, folder: Path, acknowledged: list[bytes]) -> str | None:
        try:
            result = self._train(folder)
        except Exception as error:
            return f"it cannot be resumed: {type(error).__name__}: {error}"
        different = [name for name, value in self._expected.items() if result[name] != value]
        if different:
            return f"the resumed run differs in {', '.join(different)}"
        lines = (folder / _LEDGER).read_bytes().splitlines(True)
        if acknowledged and lines[: len(acknowledged)] != acknowledged:
            return "an acknowledged record is lost by the resume"
        ledger = open_ledger(folder)
        if ledger.status != "finished" or ledger.notes:
            return f"the resumed run's ledger is {ledger.status} {ledger.notes}"
        files = set(Tree.read(folder).files)
        # A finished run may keep one more snapshot if it was killed before it removed that.
        extra = {
            f for f in files - self._final_files if not (f.startswith("snapshots/") and f.endswith(".h5"))
        }
        if extra or self._final_files - files:
            return f"the folder contains {files}, expected {self._final_files}"
        return None


def print_scores(scores: list[Score]) -> int:
    """Print a table; return the number of bad states."""
    print(f"{'crashes':36} {'points':>7} {'states':>7} {'resumed':>8} {'good':>7} {'bad':>5}")
    for score in scores:
        good = score.states - len(score.bad)
        print(
            f"{score.name:36} {score.points:7} {score.states:7} {score.resumed:8} {good:7} {len(score.bad):5}"
        )
        for text in score.bad[:10]:
            print(f"    {text}")
    bad = sum(len(s.bad) for s in scores)
    print(f"{sum(s.states for s in scores)} states, {bad} of them bad")
    return bad


def main(arguments: list[str] | None = None) -> int:
    """Print the results of all crashes; return 1 if a state is bad."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--all", action="store_true", help="resume each state")
    parser.add_argument("--deaths", action="store_true", help="kill real processes too")
    options = parser.parse_args(arguments)
    from crash import small_run

    folder = Path(tempfile.mkdtemp(prefix="crash-points-"))
    points = Points(folder, small_run.train)
    scores = []
    for recorded in points.recorded():
        for model in ("process", "machine"):
            scores.append(points.score(recorded, model, resume="each" if options.all else "distinct"))
        if options.deaths and not recorded.start.files:
            from crash.deaths import deaths
            from forkserver import ForkServer

            with ForkServer() as server:
                scores.append(deaths(points, recorded, server, folder / "deaths"))
    points = Points(folder / "background", partial(small_run.train, background=True))
    recorded = replace(next(points.recorded()), name="snapshots in background")
    scores += [points.score(recorded, model) for model in ("process", "machine")]
    bad = print_scores(scores)
    if not bad:
        shutil.rmtree(folder)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
