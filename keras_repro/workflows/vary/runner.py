"""Runs a script under one changed surrounding after the other, each against the same baseline.

    with VariationRunner(task, folder=...) as variator:
        result = variator.run(chosen("all"))
        result.repeat.verdict, [o.verdict for o in result.outcomes]

One baseline, one plain repeat of it, then each variation alone: V of them cost at most V + 2 trainings. Each
run finds the script's folder as it was before the first (`WorkspaceCopies`), at the same path but for the
variation that changes it; what parts from the baseline ends there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from keras_repro.errors import LaunchError, RunFolderError
from keras_repro.processes.child import LAUNCHER, POLL_SECONDS, Child, Launcher, Outcome
from keras_repro.processes.file_listing import FileListing
from keras_repro.processes.outcome import raise_for_outcome
from keras_repro.processes.task import ChildEnvironment, Task, check_task
from keras_repro.processes.workspace import WorkspaceCopies
from keras_repro.root_cause.explanation import Explanation
from keras_repro.storage.run_folder import LEDGER_NAME, make_run_folder
from keras_repro.workflows.diagnose import diagnose
from keras_repro.workflows.vary.catalogue import CATALOGUE, Variation
from keras_repro.workflows.vary.changes import Baseline, Change, NotTriedError
from keras_repro.workflows.vary.results import VariationOutcome, Variations
from keras_repro.workflows.vary.varied_run import VariedRun, judged, not_tried, seen_in
from keras_repro.workflows.vary.watcher import VariationWatcher

BASELINE, REPEAT, COPIES = "baseline", "repeat", "copies"
_HASH_SEED = "1"


class VariationRunner:
    """Varies the surroundings of one task.

    Args:
        task: what to run.
        folder: gets a run folder for the baseline, the repeat and each variation, by name.
        copy: whether runs work in copies of the folder.
        overwrite: whether runs in `folder` may be replaced.
        keep_going: whether runs that part from the baseline go on to their end.
        jobs: how many run side by side, where that cannot change a result.
        watcher: is told of progress.
        launcher: starts each child.

    Raises:
        LaunchError: there is no such script; the folder cannot be copied.
        RunFolderError: the folder holds runs already, or cannot be made.
    """

    def __init__(
        self,
        task: Task,
        *,
        folder: Path,
        copy: bool = True,
        overwrite: bool = False,
        keep_going: bool = False,
        jobs: int = 1,
        watcher: VariationWatcher | None = None,
        launcher: Launcher = LAUNCHER,
    ) -> None:
        check_task(task)
        self._task, self._folder = task, folder
        self._keep_going, self._jobs, self._launcher = keep_going, jobs if copy else 1, launcher
        self._watcher = watcher or VariationWatcher()
        self.trainings = 0
        _clear(folder, overwrite=overwrite)
        make_run_folder(folder)
        self.copies: WorkspaceCopies | None = None
        if copy:
            try:
                self.copies = WorkspaceCopies(task.script, folder / COPIES, exclude=folder)
            except LaunchError:
                with contextlib.suppress(OSError):  # it holds something of the user's
                    folder.rmdir()
                raise
        self._setting = ChildEnvironment(environment=_environment(task))
        self._baseline: Baseline | None = None
        self._changes: dict[str, Change] = {}

    def __enter__(self) -> VariationRunner:
        if self.copies is not None:
            self.copies.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.copies is not None:
            self.copies.remove()

    def run(self, variations: Sequence[Variation]) -> Variations:
        """Runs the baseline, its repeat and each variation.

        Raises:
            LaunchError: the baseline or its repeat failed, or trained nothing that was observed.
            LedgerError: a ledger cannot be read.
        """
        outside = FileListing.below(self._outside(), exclude=self._folder)
        baseline = self._run_baseline([v.name for v in variations])
        repeat = self._one(VariedRun(name=REPEAT, change=Change(says="the same surroundings")))
        if repeat.verdict == "could not run":
            raise LaunchError(f"the plain repeat of the baseline: {repeat.reason}", repeat.output)
        notes = self._notes(outside)
        if repeat.verdict == "differs":
            reason = "the script does not repeat even in the same surroundings"
            outcomes = [not_tried(v, reason) for v in variations]
        else:
            outcomes, more = self._vary(variations, baseline)
            notes += more
        return Variations(
            repeat=repeat,
            outcomes=tuple(outcomes),
            baseline=str(self._ledger(BASELINE)),
            trainings=self.trainings,
            notes=tuple(notes),
        )

    def explain(self, outcome: VariationOutcome) -> Explanation:
        """Finds out why a run parted from the baseline, in at most four further trainings.

        Args:
            outcome: one of those that `run` gave.

        Raises:
            LaunchError: a process failed.
        """
        change = self._changes.get(outcome.name, Change(says=""))
        divergence = None if outcome.comparison is None else outcome.comparison.divergence

        uses_leftovers = change.place == "used"

        def setting(varied: bool) -> ChildEnvironment:
            return self._prepared(change if varied else Change(says=""), again=True)

        found = diagnose(
            self._task,
            # What a run leaves at its end may be what differs: then it has to come to its end.
            None if uses_leftovers else divergence,
            folder=self._folder / outcome.name / "diagnosis",
            launcher=self._launcher,
            setting=setting,
            varied=None if outcome.name == REPEAT else f"{outcome.name} ({change.says})",
        )
        if found.source is not None and self.copies is not None:
            source = dict(found.source)
            found = replace(found, source=source | {"file": self.copies.original(str(source["file"]))})
        return replace(found, fix=outcome.pin or None) if found.fix is None else found

    def _outside(self) -> list[Path]:
        """The user's own folders, in which no run should leave anything."""
        return list(self.copies.roots) if self.copies is not None else [Path.cwd()]

    def _notes(self, outside: FileListing) -> list[str]:
        changed = FileListing.below(self._outside(), exclude=self._folder).changed_since(outside)
        if not changed:
            return []
        what = "a run wrote into your own folder, where all others find it"
        return [f"{what}: {', '.join(changed[:8])}" + (", ..." if len(changed) > 8 else "")]

    def _run_baseline(self, names: Sequence[str]) -> Baseline:
        run = VariedRun(name=BASELINE, change=Change(says="as it is, with a fixed hash seed"))
        outcome = self._begin(run).wait(self._watcher.on_poll)
        try:
            raise_for_outcome(outcome, run.folder, name="the baseline")
        except LaunchError as error:
            raise LaunchError(f"{error}{self._where_it_ran()}", error.output) from None
        leftovers: tuple[str, ...] = ()
        if run.place is not None and run.before is not None and self.copies is not None:
            after = FileListing.below(run.place.roots)
            gone = set(run.before.files) - set(after.files)
            leftovers = (*after.changed_since(run.before), *sorted(gone))
            if leftovers and "leftover-files" in names:
                self.copies.keep_used()
        ended = VariationOutcome(
            name=BASELINE, changes=run.change.says, verdict="repeats", seconds=outcome.seconds
        )
        self._watcher.on_end(BASELINE, ended)
        self._baseline = Baseline(
            seen=seen_in(run.folder),
            environment=self._setting.environment,
            copied=self.copies is not None,
            leftovers=leftovers,
        )
        return self._baseline

    def _where_it_ran(self) -> str:
        if self.copies is None:
            return ""
        roots = " and ".join(map(str, self.copies.roots))
        return (
            f"; it ran in a copy of {roots}, without .git, virtual environments and caches: "
            "--no-copy runs it in the folder itself"
        )

    def _vary(
        self, variations: Sequence[Variation], baseline: Baseline
    ) -> tuple[list[VariationOutcome], list[str]]:
        runs: dict[str, VariedRun] = {}
        found: dict[str, VariationOutcome] = {}
        for variation in variations:
            try:
                change = variation.change(baseline)
            except NotTriedError as reason:
                found[variation.name] = not_tried(variation, str(reason))
                self._watcher.on_end(variation.name, found[variation.name])
                continue
            self._changes[variation.name] = change
            runs[variation.name] = VariedRun(name=variation.name, change=change, variation=variation)
        notes = []
        waiting = list(runs.values())
        if self._jobs > 1 and waiting:
            notes += self._side_by_side(waiting, found)
        for run in waiting:
            if run.name not in found:
                found[run.name] = self._one(run)
        return [found[v.name] for v in variations], notes

    def _side_by_side(self, runs: Sequence[VariedRun], found: dict[str, VariationOutcome]) -> list[str]:
        """Runs those that may be run side by side, once it is known that their paths do not matter."""
        moved = next((r for r in runs if r.change.place == "elsewhere"), None)
        if moved is None:
            return ["one after another: only --vary with working-directory tells whether paths matter"]
        found[moved.name] = self._one(moved)
        if found[moved.name].verdict != "repeats":
            return ["one after another: the path of the folder matters, and copies side by side have several"]
        free = [r for r in runs if r.change.place == "same" and r.variation and not r.variation.alone]
        children: dict[int, tuple[VariedRun, Child]] = {}
        try:
            while free or children:
                for slot in range(1, self._jobs + 1):
                    if free and slot not in children:
                        run = free.pop(0)
                        run.beside = slot
                        children[slot] = (run, self._begin(run))
                for slot, (run, child) in list(children.items()):
                    outcome = child.poll()
                    if outcome is not None:
                        del children[slot]
                        found[run.name] = self._finished(run, outcome)
                self._watcher.on_poll()
                time.sleep(POLL_SECONDS)
        finally:
            for _, child in children.values():
                child.end()
        return []

    def _one(self, run: VariedRun) -> VariationOutcome:
        return self._finished(run, self._begin(run).wait(self._watcher.on_poll))

    def _begin(self, run: VariedRun) -> Child:
        run.folder = make_run_folder(self._folder / run.name)
        setting = self._prepared(run.change, run)
        if run.name == BASELINE and run.place is not None:
            run.before = FileListing.below(run.place.roots)
        self._watcher.on_start(run.name, run.change.says, run.folder / LEDGER_NAME)
        plan = self._task.plan(run.folder, redirect=True)
        if run.name != BASELINE and not self._keep_going:
            plan = replace(plan, reference=str(self._ledger(BASELINE)))
        self.trainings += 1
        return self._launcher.start(setting.plan(plan), environment=setting.environment, cwd=setting.cwd)

    def _prepared(
        self, change: Change, run: VariedRun | None = None, *, again: bool = False
    ) -> ChildEnvironment:
        """The surroundings of a run, with the copy that it works in made.

        `again` takes for the used copy what the process before it has left, as a diagnosis has it.
        """
        setting = self._setting.changed(change.variables, change.varied)
        if self.copies is None:
            return setting
        if change.place == "used":
            place = self.copies.left() if again else self.copies.used()
        else:
            beside = 0 if run is None else run.beside
            place = self.copies.fresh(elsewhere=change.place == "elsewhere", beside=beside)
        if run is not None:
            run.place = place
        setting = setting.changed({"PWD": str(place.cwd)})
        return replace(setting, cwd=place.cwd, script=place.script)

    def _finished(self, run: VariedRun, outcome: Outcome) -> VariationOutcome:
        found = replace(judged(run, outcome, self._ledger(BASELINE)), seconds=outcome.seconds)
        self._watcher.on_end(run.name, found)
        return found

    def _ledger(self, name: str) -> Path:
        return (self._folder / name / LEDGER_NAME).resolve()


def _environment(task: Task) -> dict[str, str]:
    """What all runs get: the hash seed that the user has chosen, or one and the same for all."""
    environment = task.environment()
    if not environment.get("PYTHONHASHSEED", "").isdecimal():
        environment["PYTHONHASHSEED"] = _HASH_SEED
    return environment


def _clear(folder: Path, *, overwrite: bool) -> None:
    names = (BASELINE, REPEAT, *(v.name for v in CATALOGUE))
    present = [folder / n for n in names if os.path.lexists(folder / n / LEDGER_NAME)]
    if present and not overwrite:
        raise RunFolderError(
            f"{folder} holds runs already: choose another folder, or overwrite them with --force"
        )
    for old in present:
        shutil.rmtree(old)
