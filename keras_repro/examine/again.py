"""How to run again what a ledger recorded, from its header."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_repro.control.portable import Portability, portable_environment
from keras_repro.control.switches import pinned_environment
from keras_repro.errors import LaunchError
from keras_repro.examine.verify import Task, check_task
from keras_repro.record.ledger import read_ledger


def task_of(runs: Sequence[str | os.PathLike[str]]) -> Task:
    """The task that two runs carried out.

    Args:
        runs: run folders or ledgers of the same command.

    Raises:
        LaunchError: what they did cannot be done again: what is missing stands in the message.
        LedgerError: one of them cannot be read.
    """
    files = [read_ledger(r) for r in runs]
    commands = [_mapping(f.header.get("command")) for f in files]
    for file, command in zip(files, commands, strict=True):
        if not command.get("script") and not command.get("module"):
            raise LaunchError(
                f"{file.path} does not say which script made it (a notebook?): it cannot be run again"
            )
        if command.get("hidden"):
            raise LaunchError(
                f"{file.path}: {command['hidden']} of the script's arguments were not recorded, since "
                "ledgers are published; use 'keras-repro verify --explain' with the script and its arguments"
            )
    first = commands[0]
    for name in ("script", "module", "arguments"):
        if any(c.get(name) != first.get(name) for c in commands[1:]):
            values = [str(c.get(name)) for c in commands]
            raise LaunchError(
                f"the runs are of different commands: {name} {values[0]:.80} and {values[1]:.80}"
            )
    script = first.get("script")
    if script is not None and not Path(script).exists():
        raise LaunchError(
            f"no script at {script}, which the runs were made with: "
            "go to the folder that they were started in"
        )
    header = files[0].header
    policies = _mapping(header.get("policies"))
    seed = header.get("seed") if header.get("mode") == "enforced" else None
    portability = _portability(header)
    task = Task(
        script=None if script is None else str(script),
        module=first.get("module"),
        arguments=tuple(str(a) for a in first.get("arguments") or ()),
        seed=seed,
        pinned=_pinned(seed, portability),
        portability=portability,
        keep_hash_seed=_hash_seed(files[0]) == _hash_seed(files[1]) if len(files) > 1 else True,
        max_epochs=policies.get("max_epochs"),
        max_steps=policies.get("max_steps"),
    )
    check_task(task)
    if script is not None:
        _check_version(Path(script), files)
    return task


def _pinned(seed: Any, portability: Portability | None) -> Mapping[str, str]:
    """What pinned the switches of a run."""
    if not isinstance(seed, int):
        return {}
    if portability is None:
        return pinned_environment(seed)
    return portable_environment(seed, threads=portability.threads, strict=False)


def _portability(header: Mapping[str, Any]) -> Portability | None:
    """How a run was portable; again it is only looked at, since it has trained before."""
    if header.get("determinism") != "portable":
        return None
    readings = [r for r in header.get("switches") or () if isinstance(r, Mapping)]
    threads = next((r.get("requested") for r in readings if r.get("name") == "intra_op_threads"), 1)
    return Portability(threads=threads if isinstance(threads, int) else 1, strict=False)


def are_of_whole_scripts(runs: Sequence[str | os.PathLike[str]]) -> bool:
    """Whether the runs recorded whole scripts, and so number all of their fits."""
    return all("r" in str(read_ledger(r).header.get("coverage")) for r in runs)


def _check_version(path: Path, files: Sequence[Any]) -> None:
    recorded = {d for f in files if (d := _digest_of_code(f.header))}
    if len(recorded) > 1:
        raise LaunchError(f"the runs were made with different versions of {path}: nothing to diagnose")
    from keras_repro.record.environment import code_digest

    if recorded and code_digest(path) not in recorded:
        raise LaunchError(f"{path} has changed since the runs were made: put the recorded version back")


def _digest_of_code(header: Mapping[str, Any]) -> str | None:
    digest = _mapping(header.get("environment")).get("code")
    return digest if isinstance(digest, str) else None


def _hash_seed(file: Any) -> Any:
    return _mapping(_mapping(file.header.get("environment")).get("variables")).get("PYTHONHASHSEED")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
