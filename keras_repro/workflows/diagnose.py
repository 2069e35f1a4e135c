"""Runs a script again in diagnosing processes, one after another, until it is known why two of them part.

The first process writes down what it does. The second is held against it while it runs; where it parts, it
still has the state from just before, and replays the step. A third, with the hash seed of the first, tells
what only the hash seed changes, and gives the other side's view of the step.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_repro.comparison.divergence import Divergence
from keras_repro.errors import LaunchError
from keras_repro.processes.child import LAUNCHER, Launcher, Outcome
from keras_repro.processes.leftover_workspace import LeftoverWorkspace
from keras_repro.processes.outcome import raise_for_outcome
from keras_repro.processes.protocol import DIVERGED, DIVERGENCE_NAME, TAPS_NAME, TARGET_REACHED
from keras_repro.processes.task import ChildEnvironment, Task
from keras_repro.root_cause.explanation import Explanation
from keras_repro.root_cause.rules.engine import Evidence, explain
from keras_repro.storage.run_folder import make_run_folder
from keras_repro.storage.trace_file import TRACE_NAME, read_trace

MOST_TRAININGS = 4

_SHORT_TURNS = 1e-6  # seconds
# What a stage of the user's code has that runs beside other code.
_SIDE_BY_SIDE = ("thread", "workers", "parallel", "not deterministic")


@dataclass(frozen=True, kw_only=True)
class _DiagnosingRun:
    """One diagnosing process that has ended: its folder, and what it wrote where it parted."""

    folder: Path
    parting: Mapping[str, Any] | None

    @property
    def trace(self) -> Path:
        return (self.folder / TRACE_NAME).resolve()


def diagnose(
    task: Task,
    divergence: Divergence | None,
    *,
    folder: Path,
    launcher: Launcher = LAUNCHER,
    begins: Callable[[int], None] = lambda number: None,
    setting: Callable[[bool], ChildEnvironment] | None = None,
    varied: str | None = None,
    created: Sequence[str] = (),
) -> Explanation:
    """Finds out why the runs of a task part.

    Args:
        task: what to run; the same that parted.
        divergence: where it did, as far as that is known: no training goes on beyond its epoch.
        folder: gets a folder `1`, `2`, ... for each process.
        launcher: starts each process.
        begins: is told the number of each process (from 1) as it begins.
        setting: gives the surroundings of a process, those of the second run if it is called with True;
            by default the caller's, with another hash seed for the second.
        varied: what differs between these surroundings, in words, where they were varied.
        created: files that the first run has made, and that were not there before. Then each process works
            in a copy of the script's folders, the first of them without these files.

    Returns:
        The explanation; its cause is `unknown` where they did not part again.

    Raises:
        LaunchError: a process failed, or the folders cannot be copied.
    """
    with contextlib.ExitStack() as stack:
        left = None
        if created:
            left = LeftoverWorkspace(task.script, created, folder / "copies", exclude=folder.parent)
            stack.enter_context(left)
        return _diagnose(
            task,
            divergence,
            left,
            folder=folder,
            launcher=launcher,
            begins=begins,
            setting=setting,
            varied=varied,
        )


def _diagnose(
    task: Task,
    divergence: Divergence | None,
    left: LeftoverWorkspace | None,
    *,
    folder: Path,
    launcher: Launcher,
    begins: Callable[[int], None],
    setting: Callable[[bool], ChildEnvironment] | None,
    varied: str | None,
) -> Explanation:
    for number in range(1, MOST_TRAININGS + 1):
        if (folder / str(number) / TRACE_NAME).exists():  # of an earlier diagnosis; all else is the user's
            shutil.rmtree(folder / str(number))
    last = _last(divergence)
    made = 0

    def run(hash_seed: int, *, hurried: bool = False, **probe: Any) -> _DiagnosingRun:
        nonlocal made
        made += 1
        begins(made)
        where = make_run_folder(folder / str(made))
        plan = replace(task.plan(where, redirect=True), probe=probe, every="epoch")
        given = (
            ChildEnvironment(environment=task.environment(hash_seed))
            if setting is None
            else setting(hash_seed > 0)
        )
        if hurried:
            given = given.changed({}, {"switch_interval": _SHORT_TURNS})
        if left is not None:
            place = left.place(made)
            given = given.changed({"PWD": str(place.cwd)})
            given = replace(given, cwd=place.cwd, script=place.script)
        child = launcher.start(given.plan(plan), environment=given.environment, cwd=given.cwd)
        return _child(child.wait(), where)

    first = run(0, last=last)
    second = None
    while made < MOST_TRAININGS and (second is None or second.parting is None):
        # A race between threads comes back where they take turns more often; nothing else is changed by it.
        again = second is not None
        second = run(made, hurried=again, last=last, reference=str(first.trace), replays=True)
    if second is None or second.parting is None:
        return _not_again(first, made)
    third = None
    if made < MOST_TRAININGS and not _is_conclusive(second.parting):
        third = run(
            0,
            reference=str(first.trace),
            until=second.parting["number"],
            target=True,
            replays=True,
        )
    taps = [_taps(c.folder) for c in (second, third) if c is not None]
    evidence = Evidence(
        first=list(read_trace(first.trace)),
        second=list(read_trace(second.trace)),
        parting=second.parting,
        second_try=None if third is None else third.parting,
        taps=taps if _same_place(second, third) else taps[:1],
        hash_seeds_differ=not task.keep_hash_seed if setting is None else varied is not None,
        folder=folder,
        varied=varied,
        left=frozenset() if left is None else left.files,
    )
    found = explain(evidence)
    if left is not None:
        found = replace(found, source=left.own(found.source))
    return replace(found, trainings=made, evidence=(*found.evidence, *_elsewhere(found, divergence)))


def _elsewhere(found: Explanation, recorded: Divergence | None) -> Iterator[str]:
    """Says so where the runs that were watched parted in another epoch than those that were recorded."""
    if recorded is None or None in (recorded.epoch, found.epoch):
        return
    if (found.fit, found.epoch) != (recorded.fit, recorded.epoch):
        yield f"where they part changes from time to time: the recorded runs did so {recorded.place()}"


def _not_again(first: _DiagnosingRun, made: int) -> Explanation:
    """What is known where the trainings did not part: no more than what of the script runs side by side."""
    side_by_side = [
        event.info
        for interval in read_trace(first.trace)
        for event in interval.soft
        if event.kind == "made" and any(word in r for r in event.info["risks"] for word in _SIDE_BY_SIDE)
    ]
    may = [f"{i['what']} with {', '.join(i['risks'])}: line {i['source']['line']}" for i in side_by_side]
    rare = "what made the runs differ is rare, or has gone: the network, a race, a file"
    return Explanation(
        cause="unknown",
        sentence=f"run again, it did not part: {made} trainings did the same up to there",
        source=side_by_side[0]["source"] if side_by_side else None,
        evidence=(rare, *(f"what may differ at times: {m}" for m in dict.fromkeys(may))),
        trainings=made,
    )


def _last(divergence: Divergence | None) -> dict[str, int] | None:
    # What parts behind a fit's last epoch (in `on_train_end`) is seen only by going on.
    if divergence is None or divergence.fit is None or divergence.kind == "end":
        return None
    return {"fit": divergence.fit, "epoch": divergence.epoch or 0}


def _child(outcome: Outcome, folder: Path) -> _DiagnosingRun:
    parting = folder / DIVERGENCE_NAME
    if outcome.code in (DIVERGED, TARGET_REACHED):
        found = json.loads(parting.read_text()) if parting.exists() else None
        return _DiagnosingRun(folder=folder, parting=found)
    raise_for_outcome(outcome, folder, name="a diagnosing run")
    if not (folder / TRACE_NAME).exists():
        raise LaunchError(f"a diagnosing run left no trace in {folder}")
    return _DiagnosingRun(folder=folder, parting=None)


def _is_conclusive(parting: Mapping[str, Any]) -> bool:
    """Whether the second process alone has shown the operation: the step differs from itself."""
    replay = parting.get("replay") or {}
    batches = [d for d in parting["differences"] if d["kind"] in ("batch", "birth", "fit")]
    return bool(replay) and not replay["agrees"] and not batches


def _same_place(second: _DiagnosingRun, third: _DiagnosingRun | None) -> bool:
    return (
        third is not None
        and third.parting is not None
        and second.parting is not None
        and third.parting["number"] == second.parting["number"]
    )


def _taps(folder: Path) -> dict[int, Any]:
    """The values that flowed through the replayed step, by number; no object in the file is loaded."""
    path = folder / TAPS_NAME
    if not path.exists():
        return {}
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        return {int(name): file[name] for name in file.files}
