"""What to run in child processes, and under which conditions.

>>> task = Task(script="train.py", arguments=("--lr", "0.01"), max_epochs=2)
>>> task.environment(0)["KERAS_MAX_EPOCHS"]
'2'
>>> check_task(task)
Traceback (most recent call last):
keras_repro.errors.LaunchError: no script at train.py
>>> child = ChildEnvironment(environment={"TZ": "UTC"}).changed({"TZ": None, "LC_ALL": "C"})
>>> dict(child.environment)
{'LC_ALL': 'C'}
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

from keras_repro.determinism.portable_pins import GRAPH_OPTIMIZER, Portability
from keras_repro.determinism.switch_requests import requests_in
from keras_repro.errors import LaunchError
from keras_repro.processes.child import Outcome
from keras_repro.processes.protocol import Plan
from keras_repro.processes.workspace import Workspace
from keras_repro.provenance.module_lookup import is_there, script_file


@dataclass(frozen=True, kw_only=True)
class Task:
    """What to run and how.

    Attributes:
        script: path of the script; None if `module` is given.
        module: name of a module, as for `python -m`.
        arguments: the script's own arguments.
        publish_arguments: whether ledgers get the arguments as they are, not redacted.
        seed: pins every seed and switch (enforced); None to observe only.
        pinned: environment variables that pin the switches of an enforced run.
        portability: how the run is portable; None if it is not.
        keep_hash_seed: whether all children get the caller's hash seed instead of one each.
        hash_seeds: hash seeds of the children by number; number + 1 for further children.
        max_epochs: cap on the epochs of every fit, or None.
        max_steps: cap on the steps of every epoch, or None.
        every: how often steps are recorded: `"epoch"` (never), `"step"`, or every so many steps.
    """

    script: str | None = None
    module: str | None = None
    arguments: tuple[str, ...] = ()
    publish_arguments: bool = False
    seed: int | None = None
    pinned: Mapping[str, str] = field(default_factory=dict)
    portability: Portability | None = None
    keep_hash_seed: bool = False
    hash_seeds: tuple[int, ...] = ()
    max_epochs: int | None = None
    max_steps: int | None = None
    every: str | int = "epoch"

    def plan(self, folder: Path, *, redirect: bool) -> Plan:
        """Return the plan for one child."""
        caps = {"max_epochs": self.max_epochs, "max_steps": self.max_steps}
        return Plan(
            folder=folder.resolve(),
            script=self.script,
            module=self.module,
            arguments=self.arguments,
            publish_arguments=self.publish_arguments,
            seed=self.seed,
            switches=requests_in(self.pinned)
            | ({"graph_optimizer": dict(GRAPH_OPTIMIZER)} if self.portability is not None else {}),
            portability=None if self.portability is None else asdict(self.portability),
            policies={n: v for n, v in caps.items() if v is not None},
            redirect=redirect,
            every=self.every,
        )

    def environment(self, number: int | None = None) -> dict[str, str]:
        """Return the whole environment of a child: the caller's, with the changes of this task.

        Args:
            number: the child's number, from 0, which decides its hash seed; None for the caller's.
        """
        result = dict(os.environ)
        if number is not None and not self.keep_hash_seed:
            seeds = self.hash_seeds
            result["PYTHONHASHSEED"] = str(seeds[number] if number < len(seeds) else number + 1)
        return {**result, **self.pinned, **self.caps}

    @property
    def caps(self) -> dict[str, str]:
        """The variables by which Keras limits the epochs of a fit and the steps of an epoch."""
        limits = {"KERAS_MAX_EPOCHS": self.max_epochs, "KERAS_MAX_STEPS_PER_EPOCH": self.max_steps}
        return {name: str(limit) for name, limit in limits.items() if limit is not None}


@dataclass(frozen=True, kw_only=True)
class ChildEnvironment:
    """The conditions under which one child runs.

    Attributes:
        environment: the child's whole environment.
        cwd: its working folder; None for the caller's.
        script: the script's path in `cwd`; None to keep that of the task.
        varied: what the child changes itself before the script starts, as `Plan.varied`.
    """

    environment: Mapping[str, str]
    cwd: Path | None = None
    script: str | None = None
    varied: Mapping[str, Any] = field(default_factory=dict)

    def changed(
        self, variables: Mapping[str, str | None], varied: Mapping[str, Any] | None = None
    ) -> ChildEnvironment:
        """Return the conditions with other variables; those that are None are removed."""
        merged = {**self.environment, **variables}
        kept = {name: value for name, value in merged.items() if value is not None}
        return replace(self, environment=kept, varied={**self.varied, **(varied or {})})

    def within(self, workspace: Workspace) -> ChildEnvironment:
        """Return the conditions in a copy of the user's folder."""
        moved = self.changed({"PWD": str(workspace.cwd)})
        return replace(moved, cwd=workspace.cwd, script=workspace.script)

    def plan(self, plan: Plan) -> Plan:
        """Return a plan as it is run under these conditions."""
        return replace(plan, script=self.script or plan.script, varied=self.varied)


class Watcher:
    """Called while the children of a task run; the default does nothing."""

    def on_start(self, number: int, ledger: Path) -> None:
        """Called when child `number` (from 0) has started; its ledger will appear at `ledger`."""

    def on_poll(self, number: int) -> None:
        """Called about ten times a second while child `number` runs."""

    def on_end(self, number: int, outcome: Outcome) -> None:
        """Called when child `number` has ended."""


def check_task(task: Task) -> None:
    """Check the name of the script or module before anything starts.

    Raises:
        LaunchError: there is no such script, or it cannot be run.
    """
    if task.module is not None:
        if not is_there(task.module):
            raise LaunchError(f"no module {task.module} in {os.getcwd()} or among the installed packages")
        return
    path = Path(task.script or "")
    if path.suffix == ".ipynb":
        raise LaunchError(
            f"{path} is a notebook: call trainer.verify(...) of kr.ReproducibleTrainer in it, "
            "or export it with 'jupyter nbconvert --to script'"
        )
    if path.is_dir() and not script_file(path).is_file():
        raise LaunchError(f"{path} is a folder without __main__.py: give a script, or -m and a module")
    if not path.exists():
        raise LaunchError(f"no script at {path}")
    if not os.access(script_file(path), os.R_OK):
        raise LaunchError(f"cannot read {path}: permission denied")
    if is_zipfile(path) and not {"__main__.py", "__main__.pyc"} & set(ZipFile(path).namelist()):
        raise LaunchError(f"{path} is an archive without __main__.py: give a script")
