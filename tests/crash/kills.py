"""Kill trainings at random moments, repeatedly, until they finish.

    with ForkServer() as server:
        kills = Kills(server, folder, seed=0)
        print_table(kills.scores(KINDS, count=200))

Each training is killed up to four times, and then runs to its end. The moments are drawn in turn from the
duration of the whole process and from the duration of its steps. A training counts as equal if its folder
opens after each kill, no written record is lost, and it ends with the fingerprint, weights, history and CSV
file of the uninterrupted run. With Keras's own BackupAndRestore (same trainings, seeds and kills), only the
weights count.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forkserver import ForkServer

from keras_repro.errors import ReproError
from keras_repro.ledger.reader import open_ledger
from keras_repro.processes.protocol import Plan
from keras_repro.storage.run_folder import OUTPUT_NAME

_SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "interrupted.py"
_KILLS_OF_A_RUN = 4
_LONGEST = 600.0  # seconds


# The files that tests/scripts/interrupted.py creates: before the training, and after its first step.
_MARKS = ("began", "trains")


@dataclass(frozen=True)
class Kind:
    """A kind of training.

    Attributes:
        model: its name in tests/scripts/interrupted.py.
        every: interval of the snapshots.
        by: which package saves the state: `keras_repro` or `keras`.
    """

    model: str
    every: str
    by: str = "keras_repro"

    @property
    def folder(self) -> str:
        """The kind as part of a folder name."""
        return f"{self.by}-{self.model}-{self.every}".replace(" ", "-")


_MODELS = [
    ("mlp", "3"),
    ("mlp", "epoch"),
    ("cnn", "2"),
    ("lstm", "3"),
    ("attention", "epoch"),
    ("gan", "2"),
    ("loss scale", "1"),
]
KINDS = tuple(Kind(*m) for m in _MODELS)
OF_KERAS = tuple(Kind(*m, by="keras") for m in _MODELS)


@dataclass
class Score:
    """The results of the kills of one kind of training.

    Attributes:
        kind: the kind.
        kills: number of killed processes.
        runs: number of trainings.
        anew: kills before the first snapshot.
        back: trainings that finished.
        same: finished trainings that equal the uninterrupted run.
        bad: descriptions of the failures.
    """

    kind: Kind
    kills: int = 0
    runs: int = 0
    anew: int = 0
    back: int = 0
    same: int = 0
    bad: list[str] = field(default_factory=list)

    def add(self, other: Score) -> None:
        """Add another score."""
        for name in ("kills", "runs", "anew", "back", "same", "bad"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True)
class _Whole:
    """An uninterrupted training: its duration since each mark, and its result."""

    seconds: dict[str, float]
    result: Any


class Kills:
    """Kill trainings in a folder.

    Args:
        server: forks the processes.
        folder: an empty folder; failed trainings stay there.
        seed: seed of the moments.
        at_once: number of processes that train at a time.
    """

    def __init__(self, server: ForkServer, folder: Path, *, seed: int = 0, at_once: int = 2) -> None:
        self._server, self._folder, self._seed, self._at_once = server, folder, seed, at_once

    def scores(self, kinds: Sequence[Kind], *, count: int, until: float = math.inf) -> list[Score]:
        """Kill trainings of several kinds in turn.

        Args:
            kinds: the kinds.
            count: approximate number of kills.
            until: when the last training may begin, in seconds of `time.monotonic`.
        """
        scores = [Score(kind) for kind in kinds]
        with ThreadPoolExecutor(self._at_once) as pool:
            wholes = list(pool.map(self._whole, kinds))

            def work(first: int) -> None:
                for number in range(first, 2 * count + len(kinds), self._at_once):
                    if sum(s.kills for s in scores) >= count or time.monotonic() >= until:
                        return
                    score, whole = scores[number % len(kinds)], wholes[number % len(kinds)]
                    folder = self._folder / f"{score.kind.folder}-{number}"
                    score.add(self._one(score.kind, folder, whole))

            list(pool.map(work, range(self._at_once)))
        return scores

    def _whole(self, kind: Kind) -> _Whole:
        """Run an uninterrupted training."""
        folder = self._folder / f"{kind.folder}-whole"
        seconds = self._train(kind, folder)
        assert seconds is not None, _last_words(folder)
        return _Whole(seconds, _result(folder))

    def _one(self, kind: Kind, run_dir: Path, whole: _Whole) -> Score:
        """Kill one training several times, and let it finish."""
        moments = random.Random(f"{self._seed} {run_dir.name}")
        score = Score(kind, runs=1)
        before: list[Any] = []
        for number in range(_KILLS_OF_A_RUN):
            since = _MARKS[number % len(_MARKS)]
            moment = moments.uniform(0, whole.seconds[since])
            if self._train(kind, run_dir, since=since, kill_after=moment) is not None:
                break  # it finished before
            if not _killed(run_dir):
                break
            score.kills += 1
            try:
                lines = _lines(run_dir)
            except ReproError as error:
                score.bad.append(f"{run_dir}: its folder cannot be opened: {error}")
                return score
            score.anew += not any(r["kind"] == "snapshot" for r in lines)
            if lines[: len(before)] != before:
                score.bad.append(f"{run_dir}: a record is lost")
                return score
            before = lines
        finished = _result(run_dir) is not None or self._train(kind, run_dir) is not None
        score.back += finished
        if not finished:
            score.bad.append(f"{run_dir}: cannot be resumed: {_last_words(run_dir)}")
        elif _result(run_dir) != whole.result or _lines(run_dir)[: len(before)] != before:
            score.bad.append(f"{run_dir}: differs from the uninterrupted run")
        else:
            score.same += 1
            for left in run_dir.parent.glob(f"{run_dir.name}*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        return score

    def _train(
        self, kind: Kind, run_dir: Path, *, since: str = "began", kill_after: float | None = None
    ) -> dict[str, float] | None:
        """Train in a new process; return the duration since each mark, None if the process failed."""
        process = Path(f"{run_dir}-process")
        shutil.rmtree(process, ignore_errors=True)
        process.mkdir()
        marks = {mark: Path(f"{run_dir}.{mark}") for mark in _MARKS}
        for path in marks.values():
            path.unlink(missing_ok=True)
        arguments = (kind.model, str(run_dir), kind.every, "never", kind.by)
        plan = Plan(folder=process, script=str(_SCRIPT), arguments=arguments)
        child = self._server.launcher.start(plan, environment=os.environ)
        starts: dict[str, float] = {}
        latest = time.monotonic() + _LONGEST
        while (outcome := child.poll()) is None:
            now = time.monotonic()
            starts |= {m: now for m, path in marks.items() if m not in starts and path.exists()}
            due = kill_after is not None and since in starts and now >= starts[since] + kill_after
            if due or now > latest:
                os.kill(child.process.pid, signal.SIGKILL)
                kill_after, latest = None, math.inf
                (process / "killed").touch()
            time.sleep(0.002)
        return {m: time.monotonic() - start for m, start in starts.items()} if outcome.code == 0 else None


def _killed(run_dir: Path) -> bool:
    return (Path(f"{run_dir}-process") / "killed").exists()


def _result(run_dir: Path) -> Any:
    path = Path(f"{run_dir}.json")
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):  # killed before or while it was written
        return None


def _lines(run_dir: Path) -> list[Any]:
    """Return the lines of a run's ledger; none if it has no header yet."""
    ledger = run_dir / "ledger.jsonl"
    if not ledger.exists() or b"\n" not in ledger.read_bytes():
        return []
    return list(open_ledger(run_dir).records())


def _last_words(run_dir: Path) -> str:
    lines = (Path(f"{run_dir}-process") / OUTPUT_NAME).read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no output"


def print_table(scores: Sequence[Score]) -> int:
    """Print the results of each kind and of all; return the number of trainings that failed."""
    print(
        f"{'training':12} {'snapshots':10} {'saved by':12} {'kills':>6} {'restarted':>11} {'runs':>6} "
        f"{'finished':>10} {'equal':>6}"
    )
    total = Score(Kind("all", "", scores[0].kind.by))
    for score in scores:
        total.add(score)
    for score in [*scores, total]:
        kind = score.kind
        anew = score.anew if kind.by == "keras_repro" else "unknown"
        print(
            f"{kind.model:12} {kind.every:10} {kind.by:12} {score.kills:6} {anew:>11} {score.runs:6} "
            f"{score.back:10} {score.same:6}",
            flush=True,
        )
        for text in score.bad[:5] if score is not total and kind.by == "keras_repro" else ():
            print(f"    {text}")
    return total.runs - total.same
