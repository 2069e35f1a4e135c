"""Start the runs of variations: each in its copy of the user's folder, under its own change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from keras_repro.processes.child import Child, Launcher
from keras_repro.processes.task import ChildEnvironment, Task
from keras_repro.processes.workspace import Workspace, WorkspaceCopies
from keras_repro.storage.run_folder import LEDGER_NAME, make_run_folder
from keras_repro.workflows.vary.changes import Change
from keras_repro.workflows.vary.results import BASELINE
from keras_repro.workflows.vary.varied_run import VariedRun

_HASH_SEED = "1"


class RunStarter:
    """Start the runs of one task.

    Args:
        task: what to run.
        folder: gets a run folder for each run, by its name.
        copies: copies of the user's folder; None to run in the folder itself.
        keep_going: whether runs that diverge from the baseline run to their end.
        launcher: starts each child.

    Attributes:
        environment: the whole environment of the baseline: the caller's, always with a hash seed.
        count: how many runs were started.
    """

    def __init__(
        self,
        task: Task,
        folder: Path,
        *,
        copies: WorkspaceCopies | None,
        keep_going: bool,
        launcher: Launcher,
    ) -> None:
        self._task, self._folder, self._copies = task, folder, copies
        self._keep_going, self._launcher = keep_going, launcher
        self.environment = task.environment()
        if not self.environment.get("PYTHONHASHSEED", "").isdecimal():
            self.environment["PYTHONHASHSEED"] = _HASH_SEED
        self.count = 0

    def ledger(self, name: str) -> Path:
        """Return the path of a run's ledger."""
        return (self._folder / name / LEDGER_NAME).resolve()

    def prepare(self, run: VariedRun) -> None:
        """Make a run's folder, and the copy of the user's folder in which it runs."""
        run.folder = make_run_folder(self._folder / run.name)
        if self._copies is not None:
            if run.change.workspace == "used":
                self._copies.restore_used()
            run.workspace = self._workspace(run.change, self._copies, run.slot)

    def start(self, run: VariedRun) -> Child:
        """Start a run that was prepared."""
        conditions = self._conditions(run.change, run.workspace)
        plan = self._task.plan(run.folder, redirect=True)
        if run.name != BASELINE and not self._keep_going:
            plan = replace(plan, reference=str(self.ledger(BASELINE)))
        self.count += 1
        return self._launcher.start(
            conditions.plan(plan), environment=conditions.environment, cwd=conditions.cwd
        )

    def diagnosing_conditions(self, change: Change) -> ChildEnvironment:
        """Return the conditions of one process of a diagnosis, in a workspace as the change asks for it.

        The used workspace is the one that the process before it has left.
        """
        workspace = None if self._copies is None else self._workspace(change, self._copies)
        return self._conditions(change, workspace)

    @staticmethod
    def _workspace(change: Change, copies: WorkspaceCopies, slot: int = 0) -> Workspace:
        if change.workspace == "used":
            return copies.latest()
        return copies.fresh(elsewhere=change.workspace == "elsewhere", slot=slot)

    def _conditions(self, change: Change, workspace: Workspace | None) -> ChildEnvironment:
        conditions = ChildEnvironment(environment=self.environment).changed(change.variables, change.varied)
        return conditions if workspace is None else conditions.within(workspace)
