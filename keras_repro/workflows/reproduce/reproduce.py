"""Does again what a ledger recorded, and compares with it while it trains.

    preparation = prepare("runs/a")
    [f.what for f in preparation.findings]                                           # []
    reproduce(preparation, folder=Path("again")).grade.name      # 'bitwise'

The command is that of the ledger, the script that of the user's own tree: nothing else of a run folder
is executed.
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
from keras_repro.processes.task import Task, Watcher, check_task
from keras_repro.provenance.redaction import redact_arguments
from keras_repro.storage.run_folder import LEDGER_NAME
from keras_repro.workflows.reproduce.environment_diff import EnvironmentDifference, findings
from keras_repro.workflows.reproduce.live_monitor import LiveMonitor, matching_ledgers
from keras_repro.workflows.reproduce.recorded_task import recorded_switches, recorded_variables
from keras_repro.workflows.reproduce.run_spec import RunSpec, file_of, read_run_spec


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What will be run, and what differs here.

    Attributes:
        recipe: of the recorded run.
        task: the task that does it again.
        environment: the whole environment of the new run.
        findings: what differs here, or is missing.
    """

    recipe: RunSpec
    task: Task
    environment: Mapping[str, str]
    findings: tuple[EnvironmentDifference, ...]

    @property
    def script_is_here(self) -> bool:
        """Whether there is something to run, in the user's own tree or installed."""
        return self.recipe.script is None or file_of(self.recipe) is not None

    @property
    def missing(self) -> tuple[EnvironmentDifference, ...]:
        """What stands in the way: something is not here, or is not what was recorded."""
        return tuple(f for f in self.findings if f.kind in ("missing", "changed"))


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What came of it.

    Attributes:
        preparation: what was run.
        comparison: of the recorded run with the new one.
        grade: how well they agree, with the reason.
        ledger: the new run's ledger.
        seconds: how long it took.
    """

    preparation: Preparation
    comparison: Comparison
    grade: Grade
    ledger: Path
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The machine form, as `--json` writes it."""
        return self.comparison.to_dict() | {
            "command": self.preparation.recipe.command,
            "findings": [f.to_dict() for f in self.preparation.findings],
            "grade": {"name": self.grade.name, "reason": self.grade.reason},
            "seconds": round(self.seconds, 3),
        }


def prepare(
    run: str | os.PathLike[str],
    *,
    script: str | None = None,
    arguments: Sequence[str] | None = None,
    pin: bool = True,
) -> Preparation:
    """Reads how a run was made, and looks at what differs here. Runs nothing.

    Args:
        run: a run folder or a ledger.
        script: where the script is, if not where it was.
        arguments: the script's arguments, needed where some were not published.
        pin: whether variables and thread counts are set as they were recorded.

    Raises:
        LaunchError: the ledger does not say how, or the arguments are not those that were recorded.
        LedgerError: it cannot be read.
    """
    recipe = read_run_spec(run)
    if script is not None:
        recipe = replace(recipe, script=_below_here(script), module=None)
    given = _arguments(recipe, arguments)
    pins = recorded_variables(recipe) if pin else None
    environment = {n: v for n, v in os.environ.items() if n not in (pins or {})}
    environment |= {n: v for n, v in (pins or {}).items() if v is not None}
    caps = {"max_epochs": "KERAS_MAX_EPOCHS", "max_steps": "KERAS_MAX_STEPS_PER_EPOCH"}
    environment |= {v: str(recipe.policies[n]) for n, v in caps.items() if n in recipe.policies}
    task = Task(
        script=recipe.script,
        module=recipe.module,
        arguments=given,
        seed=recipe.seed,
        pinned=recorded_switches(recipe) if pin else {},
        portability=recipe.portability,
        max_epochs=recipe.policies.get("max_epochs"),
        max_steps=recipe.policies.get("max_steps"),
    )
    return Preparation(
        recipe=recipe, task=task, environment=environment, findings=findings(recipe, pins=pins)
    )


def reproduce(
    preparation: Preparation,
    *,
    folder: Path,
    watcher: Watcher | None = None,
    parts: Callable[[Divergence], None] | None = None,
    launcher: Launcher = LAUNCHER,
) -> Reproduction:
    """Runs it, compares while it trains, and grades what came of it.

    Args:
        preparation: what `prepare` gave.
        folder: the new run's folder.
        watcher: is told of progress.
        parts: is told, once, where the new run parts from the recorded one; it goes on to its end.
        launcher: starts the child.

    Raises:
        LaunchError: the script failed, was killed, or trained nothing that was observed.
    """
    watcher = watcher or Watcher()
    recipe = preparation.recipe
    check_task(preparation.task)
    monitor = LiveMonitor(folder, recipe, parts)
    watcher.on_start(0, folder / LEDGER_NAME)

    def poll() -> None:
        watcher.on_poll(0)
        monitor.poll()

    plan = preparation.task.plan(folder, redirect=True)
    outcome = launcher.start(plan, environment=preparation.environment).wait(poll)
    watcher.on_end(0, outcome)
    raise_for_outcome(outcome, folder, name="the run")
    return _judge(preparation, folder, outcome)


def _judge(preparation: Preparation, folder: Path, outcome: Outcome) -> Reproduction:
    recorded = preparation.recipe.ledger.path
    made = matching_ledgers(folder, preparation.recipe)
    if not made:
        raise LaunchError(f"the script made no run like {recorded}; what was recorded is kept in {folder}")
    ledger = preparation.recipe.ledger
    comparisons = [compare_ledgers([ledger, open_ledger(m)], same_script=True) for m in made]
    order = {"identical": 0, "diverged": 1, "incomparable": 2}
    # A script may make several runs: the one that agrees longest is the one that was recorded.
    best = min(range(len(made)), key=lambda i: (order[comparisons[i].verdict], -comparisons[i].compared))
    comparison = comparisons[best]
    return Reproduction(
        preparation=preparation,
        comparison=comparison,
        grade=comparison.grade or grade(comparison, *comparison.ledgers),
        ledger=made[best],
        seconds=outcome.seconds,
    )


def _below_here(script: str) -> str:
    path = Path(os.path.abspath(script))
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        raise LaunchError(
            f"{script} is not below this folder: go to the folder that the run is to be started in"
        ) from None


def _arguments(recipe: RunSpec, arguments: Sequence[str] | None) -> tuple[str, ...]:
    if arguments is None:
        if recipe.hidden:
            raise LaunchError(
                f"{recipe.hidden} of the script's arguments were not published: '{recipe.command}'; give "
                f"them all behind --, as in: keras-repro reproduce {recipe.ledger.path.parent} -- ARGUMENTS"
            )
        return recipe.arguments
    shown, _ = redact_arguments(arguments)
    if len(shown) != len(recipe.arguments):
        raise LaunchError(
            f"the run had {len(recipe.arguments)} arguments ('{recipe.command}'), {len(shown)} were given"
        )
    for number, (given, then) in enumerate(zip(arguments, recipe.arguments, strict=True), start=1):
        if "<hidden>" not in then and given != then:
            raise LaunchError(f"argument {number} of the script was {then!r}, {given!r} was given")
    return tuple(arguments)
