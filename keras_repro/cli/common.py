"""What several commands share: exit codes, the task that was asked for, and writing for machines."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from keras_repro.errors import ReproError

SAME, DIFFERENT, MISUSE = 0, 1, 2


def exit_code(comparison: Any) -> int:
    """The exit code of a verdict; says why where runs are incomparable."""
    codes = {"identical": SAME, "diverged": DIFFERENT, "incomparable": MISUSE}
    code = codes[comparison.verdict]
    return fail(f"incomparable: {comparison.reason}") if code == MISUSE else code


def task_of_options(options: argparse.Namespace, *, enforced: bool) -> Any:
    """The `examine.verify.Task` that the options ask for."""
    from keras_repro.determinism.portable_pins import Portability, portable_environment
    from keras_repro.determinism.switches import pinned_environment
    from keras_repro.processes.task import Task

    pinned, portability = pinned_environment(options.pin_seed) if enforced else {}, None
    if options.portable:
        if not enforced:
            raise ReproError("--portable pins every switch: say --enforce --portable")
        portability = Portability(threads=options.threads, strict=not options.allow_unportable)
        pinned = portable_environment(options.pin_seed, threads=options.threads, strict=portability.strict)
    elif options.threads != 1 or options.allow_unportable:
        raise ReproError("--threads and --allow-unportable are for portable runs: say --portable too")
    return Task(
        script=options.script,
        module=options.module,
        arguments=tuple(options.arguments),
        seed=options.pin_seed if enforced else None,
        pinned=pinned,
        portability=portability,
        keep_hash_seed=getattr(options, "keep_hash_seed", True),
        max_epochs=options.max_epochs,
        max_steps=options.max_steps,
        every=options.every,
    )


def folder_name(options: argparse.Namespace) -> str:
    """The script's name as part of a folder's name."""
    name = options.module or Path(options.script).stem
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:60] or "script"


def script_words(options: argparse.Namespace) -> str:
    """The script as it was given."""
    return f"-m {options.module}" if options.module else str(options.script)


def check_json(options: argparse.Namespace) -> None:
    """Says that the result cannot be written before hours of training, not after; takes away an old one."""
    check_file(options.json)


def check_file(name: str | None) -> None:
    """Says that a file cannot be written, where one is asked for; takes away an old one."""
    if name is None:
        return
    path = Path(name)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ReproError(f"cannot write {path}: give the name of a file in a folder that takes it")
    if path.is_file():
        path.unlink()


def write_json(options: argparse.Namespace, data: dict[str, Any]) -> None:
    """Writes the result where `--json` asks for it."""
    if options.json is not None:
        write_text(options.json, json.dumps(data, indent=2, allow_nan=False) + "\n")


def write_text(path: str, text: str) -> None:
    """Writes a file; a `ReproError` says why it cannot be written."""
    try:
        Path(path).write_text(text)
    except OSError as error:
        raise ReproError(f"cannot write {path}: {error.strerror}") from None


def fail(message: object, output: str = "") -> int:
    """Prints one line on standard error; returns the exit code of misuse."""
    from keras_repro.report.console.terminal import print_error

    sys.stdout.flush()
    print_error(message, output)
    return MISUSE
