"""Kill real processes by SIGKILL after each change in turn; the last write may be incomplete.

    with ForkServer() as server:
        score = deaths(points, recorded, server, folder)

The folder must then be byte for byte what `states` computes from the changes, and the run must be resumed
from it as from every other state.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from crash.disk import Change, changes_of
from crash.points import Points, Recorded, Score
from crash.states import Left, Tree
from forkserver import ForkServer

from keras_repro.processes.protocol import Plan

_SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "stopped.py"


def deaths(
    points: Points,
    recorded: Recorded,
    server: ForkServer,
    folder: Path,
    *,
    numbers: Iterable[int] | None = None,
    at_once: int = 2,
) -> Score:
    """Kill a new process after each change of a new run.

    Args:
        points: resumes and compares.
        recorded: the run.
        server: forks the processes.
        folder: an empty folder.
        numbers: numbers of the changes; all by default.
        at_once: number of processes that run at a time.
    """
    chosen = list(range(len(recorded.changes)) if numbers is None else numbers)
    score = Score(f"{recorded.name}, really killed", len(chosen))

    def stopped(number: int) -> tuple[int, str]:
        run_dir = folder / f"stopped-{number}"
        process = folder / f"stopped-{number}-process"
        process.mkdir(parents=True)
        arguments = (str(run_dir), str(number), str(_share(number)), str(process / "log"))
        plan = Plan(folder=process, script=str(_SCRIPT), arguments=arguments)
        outcome = server.launcher.start(plan, environment=os.environ).wait()
        return outcome.code, (process / "output.txt").read_text(errors="replace")

    with ThreadPoolExecutor(at_once) as pool:
        outcomes = list(pool.map(stopped, chosen))
    for number, (code, output) in zip(chosen, outcomes, strict=True):
        score.states += 1
        words = recorded.changes[number].words
        if code != -signal.SIGKILL:
            score.bad.append(f"at change {number}, {words}: the exit code is {code}: {output[-300:]}")
            continue
        logged = changes_of(folder / f"stopped-{number}-process" / "log")
        before, tree = recorded.start.after(logged[:-1]), Tree.read(folder / f"stopped-{number}")
        if tree != recorded.start.after([*logged[:-1], _part(logged[-1], number)]):
            score.bad.append(f"at change {number}, {words}: the folder differs from the computed state")
            continue
        problem = points.problem_with(Left(number, words, tree, before.files), score, resume="each")
        if problem is not None:
            score.bad.append(f"at change {number}, {words}: {problem}")
        shutil.rmtree(folder / f"stopped-{number}")
        shutil.rmtree(folder / f"stopped-{number}-process")
    return score


def _share(number: int) -> float:
    """Return the share of a write that arrives; 1 for some."""
    return min(1.0, random.Random(number).uniform(0, 1.2))


def _part(change: Change, number: int) -> Change:
    if change.kind != "write":
        return change
    return replace(change, data=change.data[: round(len(change.data) * _share(number))])
