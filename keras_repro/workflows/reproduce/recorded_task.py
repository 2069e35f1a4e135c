"""The task of recorded runs: what to run again, and under which settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_repro.determinism.portable_pins import portable_environment
from keras_repro.determinism.switches import pinned_environment
from keras_repro.errors import LaunchError
from keras_repro.processes.hash_seeds import hash_seeds
from keras_repro.processes.task import Task, check_task
from keras_repro.provenance.environment import VARIABLES
from keras_repro.provenance.input_files import changed_files, file_digest, roots
from keras_repro.provenance.module_lookup import script_file
from keras_repro.provenance.redaction import HIDDEN
from keras_repro.utils.text import first_few
from keras_repro.workflows.reproduce.run_spec import RunSpec

_MOST_SHOWN = 3
# A machine chooses these to compute correctly: another machine's choice may not run here.
_OWN = ("OPENBLAS_CORETYPE",)
_THREADS = {"intra_op_threads": "TF_NUM_INTRAOP_THREADS", "inter_op_threads": "TF_NUM_INTEROP_THREADS"}


def script_arguments(spec: RunSpec, given: Sequence[str] | None, *, command: str) -> tuple[str, ...]:
    """Return the arguments of a recorded script.

    Args:
        spec: the run.
        given: all arguments of the script, needed if some were not published; None for the recorded ones.
        command: the command and its runs, for the message.

    Raises:
        LaunchError: arguments are missing, or others were recorded.
    """
    if given is None:
        if spec.hidden:
            raise LaunchError(
                f"{spec.hidden} of the script's arguments were not published: '{spec.command}'; give all of "
                f"them after --, as in: keras-repro {command} -- ARGUMENTS"
            )
        return spec.arguments
    if len(given) != len(spec.arguments):
        raise LaunchError(f"the run had {len(spec.arguments)} arguments ('{spec.command}'), got {len(given)}")
    for number, (argument, recorded) in enumerate(zip(given, spec.arguments, strict=True), start=1):
        name, hidden, _ = recorded.partition(HIDDEN)
        if argument != recorded and not (hidden and argument.startswith(name)):
            raise LaunchError(f"argument {number} of the script was {recorded!r}, got {argument!r}")
    return tuple(given)


def task_from_specs(specs: Sequence[RunSpec], arguments: Sequence[str] | None = None) -> Task:
    """Return the task that two runs of the same command carried out.

    Args:
        specs: the runs.
        arguments: as `given` of `script_arguments`.

    Raises:
        LaunchError: the runs cannot be run again; the message names what is missing.
    """
    first = specs[0]
    command = " ".join(["diagnose", *(str(spec.ledger.path.parent) for spec in specs)])
    found = [script_arguments(spec, arguments, command=command) for spec in specs]
    for name in ("script", "module", "arguments"):
        values = [getattr(s, name) for s in specs]
        if name == "arguments" and len({_without_folder(s) for s in specs}) == 1:
            continue
        if any(v != values[0] for v in values[1:]):
            raise LaunchError(
                f"the runs are of different commands: {name} {_shown(values[0])} and {_shown(values[1])}"
            )
    script = first.script
    if script is not None and (first.is_outside or not Path(script).exists()):
        raise LaunchError(
            f"no script at {script}, which made the runs: change to the folder in which they were started"
        )
    task = Task(
        script=script,
        module=first.module,
        arguments=found[0],
        publish_arguments=not first.hidden,  # they are in the ledgers then
        seed=first.seed,
        pinned=_pins(first),
        portability=first.portability,
        keep_hash_seed=len({s.variables.get("PYTHONHASHSEED") for s in specs}) == 1,
        hash_seeds=_hash_seeds(specs),
        max_epochs=first.policies.get("max_epochs"),
        max_steps=first.policies.get("max_steps"),
    )
    check_task(task)
    if script is not None:
        _check_version(Path(script), specs)
    for spec in specs:
        _check_inputs(spec)
    return task


def recorded_variables(spec: RunSpec) -> dict[str, str | None]:
    """Return the variables of the new run, with their effective values in the recorded one; None: not set."""
    variables: dict[str, str | None] = {
        n: spec.variables.get(n)
        for n in VARIABLES
        if n not in _OWN and n not in spec.withheld and (n in spec.variables or n in os.environ)
    }
    for switch, variable in _THREADS.items():
        count = spec.switches.get(switch)
        if variable not in spec.variables and isinstance(count, int) and count > 0:
            variables[variable] = str(count)
    onednn = spec.switches.get("onednn")
    if isinstance(onednn, bool) and "TF_ENABLE_ONEDNN_OPTS" not in spec.variables:
        variables["TF_ENABLE_ONEDNN_OPTS"] = str(int(onednn))
    seed = spec.switches.get("hash_seed")
    if isinstance(seed, int):
        variables["PYTHONHASHSEED"] = str(seed)
    return variables


def recorded_switches(spec: RunSpec) -> dict[str, str]:
    """Return the variables that pinned the switches of an enforced run, for the new run's header."""
    pins = _pins(spec)
    return {n: v for n, v in spec.variables.items() if n in pins}


def _pins(spec: RunSpec) -> dict[str, str]:
    """Return the variables that pin the switches of an enforced run."""
    if spec.seed is None:
        return {}
    if spec.portability is None:
        return pinned_environment(spec.seed)
    return portable_environment(spec.seed, threads=spec.portability.threads, strict=False)


def _hash_seeds(specs: Sequence[RunSpec]) -> tuple[int, ...]:
    """Return the hash seeds of the runs if they are known and differ; else seeds that reorder sets."""
    seeds = [str(s.variables.get("PYTHONHASHSEED")) for s in specs]
    if len(set(seeds)) == 1:
        return ()
    if all(s.isascii() and s.isdecimal() and int(s) < 2**32 for s in seeds):
        return tuple(map(int, seeds))
    return hash_seeds(specs[0].script, len(specs))


def _check_version(path: Path, specs: Sequence[RunSpec]) -> None:
    recorded = {s.code for s in specs if s.code is not None}
    if len(recorded) > 1:
        raise LaunchError(f"the runs were made with different versions of {path}: nothing to diagnose")
    if recorded and file_digest(script_file(path)) not in recorded:
        raise LaunchError(f"{path} has changed since the runs were made: restore the recorded version")


def _without_folder(spec: RunSpec) -> tuple[str, ...]:
    """Return the arguments, with the same name for the run's own folder in all runs."""
    folder = spec.ledger.path.parent.resolve()

    def is_folder(text: str) -> bool:
        return bool(text) and "\0" not in text and Path(text).resolve() == folder

    arguments = []
    for argument in spec.arguments:
        option, equals, value = argument.rpartition("=")
        arguments.append(f"{option}{equals}<run folder>" if is_folder(value) else argument)
    return tuple(arguments)


def _check_inputs(spec: RunSpec) -> None:
    """Check that the files of a run exist, and that its code has not changed."""
    changed = changed_files(spec.inputs, roots(spec.file))
    missing = [f"{c.path} ({c.bytes[0]:,} bytes)" for c in changed if c.missing]
    if missing:
        files = first_few(missing, _MOST_SHOWN)
        raise LaunchError(f"input files recorded in {spec.ledger.path} are missing: {files}; restore them")
    code = [c.path for c in changed if c.is_code]
    if code:
        raise LaunchError(
            f"{', '.join(code[:_MOST_SHOWN])} has changed since the runs were made: "
            "restore the recorded version"
        )


def _shown(value: Any) -> str:
    return f"{list(value) if isinstance(value, tuple) else value}"[:80]
