"""How to run again what a ledger recorded, from its header."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_repro.determinism.portable_pins import portable_environment
from keras_repro.determinism.switches import pinned_environment
from keras_repro.errors import LaunchError
from keras_repro.ledger.reader import open_ledger
from keras_repro.processes.hash_seeds import hash_seeds
from keras_repro.processes.task import Task, check_task
from keras_repro.provenance.environment import VARIABLES, code_digest
from keras_repro.provenance.input_files import differing, roots
from keras_repro.workflows.reproduce.run_spec import RunSpec, file_of, outside, read_run_spec

_MOST_SHOWN = 3
# What a machine sets for itself to compute soundly: another machine's choice may not run here.
_OWN = ("OPENBLAS_CORETYPE",)
_THREADS = {"intra_op_threads": "TF_NUM_INTRAOP_THREADS", "inter_op_threads": "TF_NUM_INTEROP_THREADS"}


def task_from_runs(runs: Sequence[str | os.PathLike[str]]) -> Task:
    """The task that two runs carried out.

    Args:
        runs: run folders or ledgers of the same command.

    Raises:
        LaunchError: what they did cannot be done again: what is missing stands in the message.
        LedgerError: one of them cannot be read.
    """
    recipes = [read_run_spec(r) for r in runs]
    for recipe in recipes:
        if recipe.hidden:
            raise LaunchError(
                f"{recipe.ledger.path}: {recipe.hidden} of the script's arguments were not recorded, since "
                "ledgers are published; use 'keras-repro verify --explain' with the script and its arguments"
            )
    first = recipes[0]
    for name in ("script", "module", "arguments"):
        values = [getattr(r, name) for r in recipes]
        if name == "arguments" and len({_without_folder(r) for r in recipes}) == 1:
            continue
        if any(v != values[0] for v in values[1:]):
            raise LaunchError(
                f"the runs are of different commands: {name} {_shown(values[0])} and {_shown(values[1])}"
            )
    script = first.script
    if script is not None and (outside(first) or not Path(script).exists()):
        raise LaunchError(
            f"no script at {script}, which the runs were made with: "
            "go to the folder that they were started in"
        )
    task = Task(
        script=script,
        module=first.module,
        arguments=first.arguments,
        seed=first.seed,
        pinned=_pinned(first),
        portability=first.portability,
        keep_hash_seed=len({r.variables.get("PYTHONHASHSEED") for r in recipes}) == 1,
        hash_seeds=_hash_seeds(recipes),
        max_epochs=first.policies.get("max_epochs"),
        max_steps=first.policies.get("max_steps"),
    )
    check_task(task)
    if script is not None:
        _check_version(Path(script), recipes)
    for recipe in recipes:
        _check_inputs(recipe)
    return task


def recorded_variables(recipe: RunSpec) -> dict[str, str | None]:
    """The variables that the new run gets, as they were in effect then; None where there was none."""
    pins: dict[str, str | None] = {
        n: recipe.variables.get(n)
        for n in VARIABLES
        if n not in _OWN and n not in recipe.withheld and (n in recipe.variables or n in os.environ)
    }
    for switch, variable in _THREADS.items():
        count = recipe.switches.get(switch)
        if variable not in recipe.variables and isinstance(count, int) and count > 0:
            pins[variable] = str(count)
    onednn = recipe.switches.get("onednn")
    if isinstance(onednn, bool) and "TF_ENABLE_ONEDNN_OPTS" not in recipe.variables:
        pins["TF_ENABLE_ONEDNN_OPTS"] = str(int(onednn))
    seed = recipe.switches.get("hash_seed")
    if isinstance(seed, int):
        pins["PYTHONHASHSEED"] = str(seed)
    return pins


def recorded_switches(recipe: RunSpec) -> dict[str, str]:
    """Return the switches that were pinned in an enforced run, for the new run's header."""
    return {n: v for n, v in recipe.variables.items() if n in _pinned(recipe)}


def _hash_seeds(recipes: Sequence[RunSpec]) -> tuple[int, ...]:
    """The hash seeds of the runs, where each had one of its own; else those that tell labels apart."""
    held = [str(r.variables.get("PYTHONHASHSEED")) for r in recipes]
    if len(set(held)) == 1:
        return ()
    if all(h.isascii() and h.isdecimal() and int(h) < 2**32 for h in held):
        return tuple(map(int, held))
    return hash_seeds(recipes[0].script, len(recipes))


def _pinned(recipe: RunSpec) -> dict[str, str]:
    """What pinned the switches of a run."""
    if recipe.seed is None:
        return {}
    if recipe.portability is None:
        return pinned_environment(recipe.seed)
    return portable_environment(recipe.seed, threads=recipe.portability.threads, strict=False)


def are_of_whole_scripts(runs: Sequence[str | os.PathLike[str]]) -> bool:
    """Whether the runs recorded whole scripts, and so number all of their fits."""
    return all("r" in str(open_ledger(r).header.get("coverage")) for r in runs)


def _check_version(path: Path, recipes: Sequence[RunSpec]) -> None:
    recorded = {r.code for r in recipes if r.code is not None}
    if len(recorded) > 1:
        raise LaunchError(f"the runs were made with different versions of {path}: nothing to diagnose")
    if recorded and code_digest(path) not in recorded:
        raise LaunchError(f"{path} has changed since the runs were made: put the recorded version back")


def _without_folder(recipe: RunSpec) -> tuple[str, ...]:
    """The arguments, with the run's own folder called the same in all runs."""
    folder = recipe.ledger.path.parent.resolve()

    def is_folder(text: str) -> bool:
        return bool(text) and "\0" not in text and Path(text).resolve() == folder

    found = []
    for argument in recipe.arguments:
        option, equals, value = argument.rpartition("=")
        found.append(f"{option}{equals}<run folder>" if is_folder(value) else argument)
    return tuple(found)


def _check_inputs(recipe: RunSpec) -> None:
    """Says which of the files that a run has read are gone, or are other code now."""
    changed = differing(recipe.inputs, roots(file_of(recipe)))
    gone = [f"{c.path} ({c.bytes[0]:,} bytes)" for c in changed if c.missing]
    if gone:
        more = f" and {len(gone) - _MOST_SHOWN} more" if len(gone) > _MOST_SHOWN else ""
        raise LaunchError(
            f"not here is what {recipe.ledger.path} read: {', '.join(gone[:_MOST_SHOWN])}{more}; put it back"
        )
    code = [c.path for c in changed if c.path.endswith(".py") or ".py in the " in c.path]
    if code:
        raise LaunchError(
            f"{', '.join(code[:_MOST_SHOWN])} has changed since the runs were made: "
            "put the recorded version back"
        )


def _shown(value: Any) -> str:
    return f"{list(value) if isinstance(value, tuple) else value}"[:80]
