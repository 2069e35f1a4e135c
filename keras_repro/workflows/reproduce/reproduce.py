"""Run a recorded run again, and compare with it while it trains.

    preparation = prepare("runs/a")
    [d.what for d in preparation.differences]                       # []
    reproduce(preparation, folder=Path("again")).grade.name         # 'bitwise'

The command comes from the ledger, the script from the user's own tree: nothing else of a run folder is
executed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_repro.comparison.compare import compare_ledgers
from keras_repro.comparison.divergence import Divergence
from keras_repro.comparison.grade import grade
from keras_repro.comparison.result import Comparison, Grade
from keras_repro.errors import LaunchError
from keras_repro.ledger.reader import open_ledger
from keras_repro.processes.child import LAUNCHER, Launcher, Outcome
from keras_repro.processes.outcome import raise_for_outcome
from keras_repro.processes.task import ChildEnvironment, Task, Watcher, check_task
from keras_repro.storage.run_folder import LEDGER_NAME
from keras_repro.workflows.reproduce.environment_diff import EnvironmentDifference, environment_diff
from keras_repro.workflows.reproduce.live_comparison import compare_live, matching_ledgers
from keras_repro.workflows.reproduce.recorded_task import (
    recorded_switches,
    recorded_variables,
    script_arguments,
)
from keras_repro.workflows.reproduce.run_spec import RunSpec, read_run_spec


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What will be run, and what differs here.

    Attributes:
        spec: of the recorded run.
        task: the task that runs it again.
        environment: the whole environment of the new run.
        differences: what differs here, or is missing.
    """

    spec: RunSpec
    task: Task
    environment: Mapping[str, str]
    differences: tuple[EnvironmentDifference, ...]

    @property
    def script_is_here(self) -> bool:
        """Whether there is something to run, in the user's own tree or installed."""
        return self.spec.script is None or self.spec.file is not None

    @property
    def missing(self) -> tuple[EnvironmentDifference, ...]:
        """The differences that prevent the same run: something is missing, or the code has changed."""
        return tuple(d for d in self.differences if d.kind in ("missing", "changed"))


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """The result of a reproduction.

    Attributes:
        preparation: what was run.
        comparison: of the recorded run with the new one.
        grade: how well they agree, with the reason.
        seconds: wall time of the new run.
    """

    preparation: Preparation
    comparison: Comparison
    grade: Grade
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the machine form, as `--json` writes it."""
        return self.comparison.to_dict() | {
            "command": self.preparation.spec.command,
            "findings": [d.to_dict() for d in self.preparation.differences],
            "grade": self.grade.to_dict(),
            "seconds": round(self.seconds, 3),
        }


def prepare(
    run: str | os.PathLike[str],
    *,
    script: str | None = None,
    arguments: Sequence[str] | None = None,
    pin: bool = True,
) -> Preparation:
    """Read how a run was made, and find what differs here. Runs nothing.

    Args:
        run: a run folder or a ledger.
        script: path of the script, if it has moved.
        arguments: the script's arguments, needed if some were not published.
        pin: whether to set variables and thread counts as recorded.

    Raises:
        LaunchError: the ledger names no script, or other arguments were recorded.
        LedgerError: it cannot be read.
    """
    spec = read_run_spec(open_ledger(run))
    if script is not None:
        spec = replace(spec, script=_below_cwd(script), module=None)
    variables = recorded_variables(spec) if pin else None
    task = Task(
        script=spec.script,
        module=spec.module,
        arguments=script_arguments(spec, arguments, command=f"reproduce {spec.ledger.path.parent}"),
        publish_arguments=not spec.hidden,  # they are in the ledger then
        seed=spec.seed,
        pinned=recorded_switches(spec) if pin else {},
        portability=spec.portability,
        max_epochs=spec.policies.get("max_epochs"),
        max_steps=spec.policies.get("max_steps"),
    )
    child = ChildEnvironment(environment=os.environ).changed(variables or {})
    return Preparation(
        spec=spec,
        task=task,
        environment={**child.environment, **task.caps},
        differences=environment_diff(spec, variables=variables),
    )


def reproduce(
    preparation: Preparation,
    *,
    folder: Path,
    watcher: Watcher | None = None,
    on_divergence: Callable[[Divergence], None] = lambda divergence: None,
    launcher: Launcher = LAUNCHER,
) -> Reproduction:
    """Run it again, compare while it trains, and grade the result.

    Args:
        preparation: from `prepare`.
        folder: the new run's folder.
        watcher: called on progress.
        on_divergence: called once, at the first divergence from the recorded run; the new run continues.
        launcher: starts the child.

    Raises:
        LaunchError: the script failed, was killed, or trained nothing that was observed.
    """
    watcher = watcher or Watcher()
    check_task(preparation.task)
    comparing = compare_live(folder, preparation.spec, on_divergence)
    watcher.on_start(0, folder / LEDGER_NAME)

    def poll() -> None:
        watcher.on_poll(0)
        next(comparing, None)

    plan = preparation.task.plan(folder, redirect=True)
    outcome = launcher.start(plan, environment=preparation.environment).wait(poll)
    watcher.on_end(0, outcome)
    raise_for_outcome(outcome, folder, name="the run")
    return _graded(preparation, folder, outcome)


def _graded(preparation: Preparation, folder: Path, outcome: Outcome) -> Reproduction:
    recorded = preparation.spec.ledger
    paths = matching_ledgers(folder, preparation.spec)
    if not paths:
        raise LaunchError(f"the script made no run like {recorded.path}; its records are kept in {folder}")
    comparisons = [compare_ledgers([recorded, open_ledger(p)], same_script=True) for p in paths]
    order = ("identical", "diverged", "incomparable")
    # A script may make several runs: the one that agrees longest is the recorded one.
    comparison = min(comparisons, key=lambda c: (order.index(c.verdict), -c.compared))
    return Reproduction(
        preparation=preparation,
        comparison=comparison,
        grade=comparison.grade or grade(comparison, *comparison.ledgers),
        seconds=outcome.seconds,
    )


def _below_cwd(script: str) -> str:
    path = Path(os.path.abspath(script))
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        raise LaunchError(
            f"{script} is not below this folder: change to the folder in which the run should start"
        ) from None
