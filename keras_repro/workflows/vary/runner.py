"""Run a script once per changed condition, each run compared with the same baseline.

    with VariationRunner(task, folder=...) as runner:
        result = runner.run(chosen("all"))
        result.repeat.verdict, [o.verdict for o in result.outcomes]

One baseline, one plain repeat, then each variation alone: n variations take at most n + 2 trainings. Each run
finds the script's folder as it was before the first run (`WorkspaceCopies`), at the same path unless the
variation changes the path. A run that diverges from the baseline is stopped there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from keras_repro.errors import LaunchError
from keras_repro.ledger.earlier_run import check_places, lock_runs
from keras_repro.ledger.reader import open_ledger
from keras_repro.processes.child import LAUNCHER, POLL_SECONDS, Child, Launcher, Outcome
from keras_repro.processes.file_listing import FileListing
from keras_repro.processes.outcome import raise_for_outcome
from keras_repro.processes.task import ChildEnvironment, Task, Watcher, check_task
from keras_repro.processes.workspace import Workspace, WorkspaceCopies
from keras_repro.root_cause.explanation import Explanation
from keras_repro.storage.run_folder import DIAGNOSIS_NAME, LEDGER_NAME, make_run_folder
from keras_repro.utils.text import first_few
from keras_repro.workflows.diagnose import diagnose
from keras_repro.workflows.vary.catalogue import CATALOGUE, Variation
from keras_repro.workflows.vary.changes import Baseline, Change, NotTriedError
from keras_repro.workflows.vary.results import BASELINE, REPEAT, VariationOutcome, Variations
from keras_repro.workflows.vary.varied_run import VariedRun, judge_run, not_tried, read_run_facts
from keras_repro.workflows.vary.watcher import VariationWatcher

_COPIES = "copies"
_HASH_SEED = "1"
_NO_CHANGE = Change(text="the same conditions")


class VariationRunner:
    """Run the variations of one task.

    Args:
        task: what to run.
        folder: gets a run folder for the baseline, the repeat and each variation, by name.
        copy: whether runs work in copies of the user's folder.
        overwrite: whether runs in `folder` may be replaced.
        keep_going: whether runs that diverge from the baseline run to their end.
        jobs: the most runs in parallel, if they cannot affect each other.
        watcher: called on progress.
        launcher: starts each child.

    Attributes:
        copies: the copies of the user's folder; None without copies.

    Raises:
        LaunchError: there is no such script; the folder cannot be copied.
        RunFolderError: the folder holds runs already or is in use, or cannot be made.
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
        self._task, self._folder, self._launcher = task, folder, launcher
        self._keep_going, self._jobs = keep_going, jobs if copy else 1
        self._watcher = watcher or VariationWatcher()
        is_new = not folder.exists()
        variations = [v.name for v in CATALOGUE]
        self._lock = lock_runs(folder, [BASELINE, REPEAT], others=variations, overwrite=overwrite)
        self.copies: WorkspaceCopies | None = None
        if copy:
            try:
                self.copies = WorkspaceCopies(task.script, folder / _COPIES, exclude=folder)
            except LaunchError:
                self._lock.close()
                if is_new:
                    folder.rmdir()
                raise
        # Of the baseline: the caller's, always with a hash seed.
        self._environment = task.environment()
        if not self._environment.get("PYTHONHASHSEED", "").isdecimal():
            self._environment["PYTHONHASHSEED"] = _HASH_SEED
        self._changes: dict[str, Change] = {}
        self._trainings = 0

    def __enter__(self) -> VariationRunner:
        if self.copies is not None:
            try:
                self.copies.__enter__()
            except BaseException:
                self._lock.close()
                raise
        return self

    def __exit__(self, *error: object) -> None:
        if self.copies is not None:
            self.copies.remove()
        self._lock.close()

    def run(self, variations: Sequence[Variation]) -> Variations:
        """Run the baseline, its repeat and each variation.

        Raises:
            LaunchError: the baseline or its repeat failed, or trained nothing that was observed.
            LedgerError: a ledger cannot be read.
            RunFolderError: there is something else in the place of a run folder.
        """
        check_places(self._folder, [v.name for v in variations])
        # The user's own folders, to which no run should write.
        own_folders = list(self.copies.roots) if self.copies is not None else [Path.cwd()]
        own_files = FileListing.below(own_folders, exclude=self._folder)
        baseline = self._run_baseline(keep_used="leftover-files" in [v.name for v in variations])
        repeat = self._run_alone(VariedRun(name=REPEAT, change=_NO_CHANGE))
        if repeat.verdict == "could not run":
            raise LaunchError(f"the plain repeat of the baseline: {repeat.reason}", repeat.output)
        notes = []
        written = FileListing.below(own_folders, exclude=self._folder).changed_since(own_files)
        if written:
            what = "a run wrote to your own folder, where all other runs find it"
            notes.append(f"{what}: {first_few(written, 8)}")
        if repeat.verdict == "differs":
            reason = "the script does not repeat even under the same conditions"
            outcomes = [not_tried(v, reason) for v in variations]
        else:
            outcomes = self._run_variations(variations, baseline, notes)
        return Variations(
            repeat=repeat,
            outcomes=tuple(outcomes),
            baseline=str(self._baseline),
            trainings=self._trainings,
            notes=tuple(notes),
        )

    def explain(self, outcome: VariationOutcome, watcher: Watcher | None = None) -> Explanation:
        """Find out why a run diverged from the baseline, in at most four further trainings.

        Args:
            outcome: an outcome of `run`.
            watcher: called on progress.

        Raises:
            LaunchError: a process failed.
        """
        change = self._changes.get(outcome.name, _NO_CHANGE)
        divergence = None if outcome.comparison is None else outcome.comparison.divergence

        def conditions(varied: bool) -> ChildEnvironment:
            present = change if varied else _NO_CHANGE
            return self._conditions(present, self._workspace(present))

        found = diagnose(
            self._task,
            # The files that a run leaves at its end may be the cause: then it has to run to its end.
            None if change.workspace == "used" else divergence,
            folder=self._folder / outcome.name / DIAGNOSIS_NAME,
            launcher=self._launcher,
            watcher=watcher,
            conditions=conditions,
            varied=None if outcome.name == REPEAT else f"{outcome.name} ({change.text})",
        )
        if self.copies is not None:
            found = found.with_lines(self.copies.original_line)
        return replace(found, fix=outcome.pin or None) if found.fix is None else found

    def _run_baseline(self, *, keep_used: bool) -> Baseline:
        """Run the baseline; keep the folder that it has used for a later run if it left files there."""
        run = VariedRun(name=BASELINE, change=Change(text="unchanged, with a fixed hash seed"))
        self._prepare(run)
        before = FileListing.below(run.workspace.roots) if run.workspace is not None else None
        outcome = self._start(run).wait(self._watcher.on_poll)
        try:
            raise_for_outcome(outcome, run.folder, name="the baseline")
        except LaunchError as error:
            hint = ""
            if self.copies is not None:
                hint = (
                    f"; it ran in a copy of {' and '.join(map(str, self.copies.roots))}, without .git, "
                    "virtual environments and caches: --no-copy runs it in the folder itself"
                )
            raise LaunchError(f"{error}{hint}", error.output) from None
        leftovers: tuple[str, ...] = ()
        if run.workspace is not None and before is not None and self.copies is not None:
            after = FileListing.below(run.workspace.roots)
            removed = set(before.files) - set(after.files)
            leftovers = (*after.changed_since(before), *sorted(removed))
            if leftovers and keep_used:
                self.copies.keep_used()
        ended = VariationOutcome(
            name=BASELINE, changes=run.change.text, verdict="repeats", seconds=outcome.seconds
        )
        self._watcher.on_end(BASELINE, ended)
        return Baseline(
            facts=read_run_facts(open_ledger(run.folder)),
            environment=self._environment,
            copied=self.copies is not None,
            leftovers=leftovers,
        )

    def _run_variations(
        self, variations: Sequence[Variation], baseline: Baseline, notes: list[str]
    ) -> list[VariationOutcome]:
        runs: list[VariedRun] = []
        outcomes: dict[str, VariationOutcome] = {}
        for variation in variations:
            try:
                change = self._changes[variation.name] = variation.change(baseline)
            except NotTriedError as reason:
                outcomes[variation.name] = not_tried(variation, str(reason))
                self._watcher.on_end(variation.name, outcomes[variation.name])
                continue
            runs.append(VariedRun(name=variation.name, change=change, variation=variation))
        if self._jobs > 1 and runs:
            self._run_in_parallel(runs, outcomes, notes)
        for run in runs:
            if run.name not in outcomes:
                outcomes[run.name] = self._run_alone(run)
        return [outcomes[v.name] for v in variations]

    def _run_in_parallel(
        self, runs: Sequence[VariedRun], outcomes: dict[str, VariationOutcome], notes: list[str]
    ) -> None:
        """Run the variations that may run in parallel, once it is known that their paths do not matter."""
        moved = next((r for r in runs if r.change.workspace == "elsewhere"), None)
        if moved is None:
            notes.append("not in parallel: only --vary with working-directory tests whether paths matter")
            return
        outcomes[moved.name] = self._run_alone(moved)
        if outcomes[moved.name].verdict != "repeats":
            notes.append("not in parallel: the path of the folder matters, and parallel copies differ in it")
            return
        waiting = [r for r in runs if r.change.workspace == "same" and r.variation and not r.variation.alone]
        running: dict[int, tuple[VariedRun, Child]] = {}
        try:
            while waiting or running:
                for slot in range(1, self._jobs + 1):
                    if waiting and slot not in running:
                        run = waiting.pop(0)
                        run.slot = slot
                        self._prepare(run)
                        running[slot] = (run, self._start(run))
                for slot, (run, child) in list(running.items()):
                    outcome = child.poll()
                    if outcome is not None:
                        del running[slot]
                        outcomes[run.name] = self._end(run, outcome)
                self._watcher.on_poll()
                time.sleep(POLL_SECONDS)
        finally:
            for _, child in running.values():
                child.end()

    def _run_alone(self, run: VariedRun) -> VariationOutcome:
        self._prepare(run)
        return self._end(run, self._start(run).wait(self._watcher.on_poll))

    def _prepare(self, run: VariedRun) -> None:
        """Make a run's folder, and the copy of the user's folder in which it runs."""
        run.folder = make_run_folder(self._folder / run.name)
        if self.copies is not None and run.change.workspace == "used":
            self.copies.restore_used()
        run.workspace = self._workspace(run.change, run.slot)

    def _workspace(self, change: Change, slot: int = 0) -> Workspace | None:
        """Return a workspace as a change asks for it; the used one is as the process before has left it."""
        if self.copies is None:
            return None
        if change.workspace == "used":
            return self.copies.latest()
        return self.copies.fresh(elsewhere=change.workspace == "elsewhere", slot=slot)

    def _conditions(self, change: Change, workspace: Workspace | None) -> ChildEnvironment:
        conditions = ChildEnvironment(environment=self._environment).changed(change.variables, change.varied)
        return conditions if workspace is None else conditions.within(workspace)

    def _start(self, run: VariedRun) -> Child:
        self._watcher.on_start(run.name, run.change.text, run.folder / LEDGER_NAME)
        self._trainings += 1
        plan = self._task.plan(run.folder, redirect=True)
        if run.name != BASELINE and not self._keep_going:
            plan = replace(plan, reference=str(self._baseline))
        conditions = self._conditions(run.change, run.workspace)
        return self._launcher.start(
            conditions.plan(plan), environment=conditions.environment, cwd=conditions.cwd
        )

    @property
    def _baseline(self) -> Path:
        """The ledger of the baseline."""
        return (self._folder / BASELINE / LEDGER_NAME).resolve()

    def _end(self, run: VariedRun, outcome: Outcome) -> VariationOutcome:
        result = judge_run(run, outcome, self._baseline)
        self._watcher.on_end(run.name, result)
        return result
