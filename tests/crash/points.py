"""Crashes of a small run at every change that it makes to its folder, and what comes of each.

    python tests/crash/points.py [--all] [--deaths]

First the changes of one run are recorded, and those of a run that goes on with one that was killed in its
middle. What the process's or the machine's death may leave at each of them (`states`) is then opened and
resumed. A state counts as good when its folder opens, no record that was acknowledged is lost, the newest
acknowledged snapshot or a newer one is found, the resumed run ends with the fingerprint, the weights and the
history of the run that nothing interrupted, and nothing is left in the folder that has no use.

States from which the same is read (lines, snapshots, files) are resumed once; with `--all` each. With
`--deaths`, real processes are stopped behind each change too (`deaths`).
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
    """A run whose changes are known.

    Attributes:
        name: what it was.
        start: what was in its folder before.
        changes: what it did to it.
    """

    name: str
    start: Tree
    changes: tuple[Change, ...]


@dataclass
class Score:
    """What came of the states of one run under one model of a crash.

    Attributes:
        name: the run and the model.
        points: changes at which it was stopped.
        states: states that this may leave, each another.
        resumed: those that were resumed; the others read the same as one of them.
        bad: what went wrong, in words.
    """

    name: str
    points: int
    states: int = 0
    resumed: int = 0
    bad: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Opened:
    """What is read from a state.

    Attributes:
        lines: of its ledger, those that count.
        place: the epoch and the step of the newest snapshot.
        error: why it does not open.
    """

    lines: tuple[bytes, ...] = ()
    place: tuple[int, int] | None = None
    error: str = ""


class Points:
    """Crashes of one training.

    Args:
        folder: an empty folder to work in.
        train: trains in a run folder, or goes on there; returns what came of it.
    """

    def __init__(self, folder: Path, train: Train) -> None:
        self._folder, self._train = folder, train
        self._expected: dict[str, Any] = {}
        self._left: set[str] = set()
        self._known: dict[Any, str | None] = {}
        self._opened: dict[Any, Opened] = {}

    def recorded(self) -> Iterator[Recorded]:
        """The run itself, and the one that goes on with it where it was killed in its middle.

        Raises:
            AssertionError: something was written past the recording, or a run differs from the first.
        """
        whole = self._record("a run", Tree({}, frozenset()))
        yield whole
        marks = [i for i, c in enumerate(whole.changes) if b'{"kind":"snapshot"' in c.data]
        # In its second epoch, with a torn line behind its second snapshot, so that all is to be done.
        start = whole.start.after(whole.changes[: marks[1] + 2])
        torn = dict(start.files) | {_LEDGER: start.files[_LEDGER] + b'{"kind":"epo'}
        yield self._record("a resumed run", Tree(torn, start.folders))

    def _record(self, name: str, start: Tree) -> Recorded:
        folder = self._folder / name.replace(" ", "-")
        start.write(folder)
        with RecordedDisk(folder) as disk:
            result = self._train(folder)
        assert start.after(disk.changes) == Tree.read(folder), "something was written past the recording"
        self._expected = self._expected or result
        self._left = self._left or set(Tree.read(folder).files)
        assert result == self._expected
        return Recorded(name, start, tuple(disk.changes))

    def score(
        self, recorded: Recorded, model: str, *, resume: Resuming = "distinct", most_bad: int | None = None
    ) -> Score:
        """Opens and resumes what crashes of a run may leave.

        Args:
            recorded: the run.
            model: `"process"` or `"machine"`.
            resume: which states are resumed: `each`; of those with the same lines, snapshot and files one; or
                of those with the same lines and snapshot one (`few`).
            most_bad: how many bad ones are enough.
        """
        states = after_the_process if model == "process" else after_the_machine
        score = Score(f"{recorded.name}, the {model} dies", len(recorded.changes))
        for left in states(recorded.start, recorded.changes):
            score.states += 1
            said = self.trouble_with(left, score, resume=resume)
            if said is not None:
                score.bad.append(f"at change {left.point}, arrived {left.words}: {said}")
                if len(score.bad) == most_bad:
                    break
        return score

    def trouble_with(self, left: Left, score: Score, *, resume: Resuming = "distinct") -> str | None:
        """What is wrong with a state, or with the run that goes on with it; None where nothing is."""
        acknowledged = [line for line in left.kept.get(_LEDGER, b"").splitlines(True) if line[-1:] == b"\n"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = self._open(left.tree)
            if acknowledged:
                if opened.error:
                    return f"the folder does not open: {opened.error}"
                if list(opened.lines[: len(acknowledged)]) != acknowledged:
                    return "a record that was acknowledged is lost"
                marks = [m for m in map(json.loads, acknowledged) if m["kind"] == "snapshot"]
                if marks and (opened.place or (-1, 0)) < (marks[-1]["epoch"], marks[-1]["step"]):
                    return f"the snapshot {marks[-1]['file']} is lost"
            reads: Any = (len(opened.lines), opened.place, bool(opened.error))
            if resume != "few":
                torn = left.tree.files.get(_LEDGER, b"")[-1:]
                reads = (*reads, torn, frozenset(left.tree.files) - {"lock"}, left.tree.folders)
            if resume == "each" or reads not in self._known:
                score.resumed += 1
                folder = self._folder / "crashed"
                left.tree.write(folder)
                self._known[reads] = self._resumed(folder, acknowledged)
        return self._known[reads]

    def _open(self, tree: Tree) -> Opened:
        """What is read from a state; each content of the ledger and the snapshots once."""
        from keras_repro.training.resume.restore_point import find_restore_point

        key = frozenset(f for f in tree.files.items() if f[0] == _LEDGER or f[0].startswith("snapshots/"))
        if key not in self._opened:
            folder = self._folder / "crashed"
            tree.write(folder)
            try:
                ledger = open_ledger(folder)
                count = 1 + sum(1 for _ in ledger.records())
                found = find_restore_point(folder)
                place = None if found is None else (found.position.epoch, found.position.step)
                lines = tree.files[_LEDGER].splitlines(True)[:count]
                self._opened[key] = Opened(tuple(lines), place)
            except ReproError as error:
                self._opened[key] = Opened(error=str(error))
        return self._opened[key]

    def _resumed(self, folder: Path, acknowledged: list[bytes]) -> str | None:
        try:
            result = self._train(folder)
        except Exception as error:
            return f"it is not resumed: {type(error).__name__}: {error}"
        different = [name for name, value in self._expected.items() if result[name] != value]
        if different:
            return f"the resumed run has another {', '.join(different)}"
        lines = (folder / _LEDGER).read_bytes().splitlines(True)
        if acknowledged and lines[: len(acknowledged)] != acknowledged:
            return "a record that was acknowledged is lost in resuming"
        ledger = open_ledger(folder)
        if ledger.status != "finished" or ledger.notes:
            return f"the resumed run's ledger is {ledger.status} {ledger.notes}"
        there = set(Tree.read(folder).files)
        # A run that was over may keep one snapshot more, where it was killed before it removed that.
        more = {f for f in there - self._left if not (f.startswith("snapshots/") and f.endswith(".h5"))}
        if more or self._left - there:
            return f"there is {there} in the folder, not {self._left}"
        return None


def print_scores(scores: list[Score]) -> int:
    """Prints a table; returns how many states are bad."""
    print(f"{'crashes':36} {'points':>7} {'states':>7} {'resumed':>8} {'good':>7} {'bad':>5}")
    for score in scores:
        good = score.states - len(score.bad)
        print(
            f"{score.name:36} {score.points:7} {score.states:7} {score.resumed:8} {good:7} {len(score.bad):5}"
        )
        for text in score.bad[:10]:
            print(f"    {text}")
    bad = sum(len(s.bad) for s in scores)
    print(f"{sum(s.states for s in scores)} states, {bad} of which did not come back")
    return bad


def main(arguments: list[str] | None = None) -> int:
    """Prints what came of all crashes; returns 1 where one is bad."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--all", action="store_true", help="resume each state")
    parser.add_argument("--deaths", action="store_true", help="stop real processes too")
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
