"""Errors of a child process that has ended: it failed, or no training was observed in it."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

from keras_repro.errors import LaunchError, LedgerError
from keras_repro.ledger.reader import LedgerReader, open_ledger
from keras_repro.processes.child import Outcome
from keras_repro.processes.protocol import RECORDING_FAILED
from keras_repro.storage.atomic_files import open_regular_file
from keras_repro.storage.run_folder import LEDGER_NAME, OUTPUT_NAME
from keras_repro.utils.text import without_styles

_LAST_LINES = 15
# How the errors of TensorFlow's CPU and GPU operations end.
_REFUSAL = re.compile(
    r"(?i)determinism is enabled|determinis\w+ .*implementation .*(available|supported)|"
    r"determinism is not yet supported"
)
_NOTHING_TRAINED = "no Keras training was observed: nothing to compare"
_LOOPS = "a custom training loop is observed if it uses a keras.Model or a Keras optimizer"


def raise_for_outcome(outcome: Outcome, folder: Path, *, name: str) -> None:
    """Check that a child ended well and recorded a training.

    Args:
        outcome: how the child ended.
        folder: its run folder.
        name: the child's name in messages.

    Raises:
        LaunchError: it failed, was killed, or no training was observed in it.
    """
    files = {"ledger": LEDGER_NAME, "output": OUTPUT_NAME}
    present = " and ".join(what for what, file in files.items() if (folder / file).exists())
    kept = f"{present or 'nothing'} kept in {folder}"
    if outcome.code < 0:
        raise LaunchError(f"{name} was killed by {_signal_name(-outcome.code)}; {kept}")
    if outcome.code == RECORDING_FAILED:
        reason = _recording_error(folder / OUTPUT_NAME)
        raise LaunchError(f"{name}: {reason}; the script itself ended well; {kept}")
    if outcome.code != 0:
        output = _last_lines(folder / OUTPUT_NAME)
        hint = _refused_operation(output)
        raise LaunchError(f"{name} failed with exit code {outcome.code}{hint}; {kept}", output)
    if not (folder / LEDGER_NAME).exists():
        raise LaunchError(
            f"{name}: no record was written: the script ended with os._exit, or was replaced by another "
            f"program with os.exec, which is not observed; {kept}"
        )
    unobserved = _why_unobserved(open_ledger(folder))
    if unobserved is not None:
        hint = f"; {_LOOPS}" if unobserved == _NOTHING_TRAINED else ""
        raise LaunchError(f"{name}: {unobserved}; {kept}{hint}")


def _refused_operation(output: str) -> str:
    """Return a hint if TensorFlow refused an operation for determinism's sake; empty if not.

    Args:
        output: the last lines of the script's output, with its traceback.
    """
    refusals = [line.strip() for line in without_styles(output).splitlines() if _REFUSAL.search(line)]
    if not refusals:
        return ""
    return (
        ": the switch op_determinism is on, and TensorFlow has no deterministic form of an operation "
        f"({refusals[-1]}). Change the operation, or leave the switch off (without --enforce)"
    )


def _why_unobserved(ledger: LedgerReader) -> str | None:
    """Return why a finished run holds no training; None if it holds one."""
    exit_facts: dict[str, Any] = {}
    for record in ledger.typed_records():
        if record.kind != "exit" or record.tensors:
            return None
        exit_facts = dict(record.extra)
    if exit_facts.get("unsupported"):
        names = ", ".join(exit_facts["unsupported"])
        return f"{names} are not supported yet: the training was not observed"
    if exit_facts.get("unobserved") or exit_facts.get("processes"):
        return "no training in this process; training in a process that the script starts is not observed"
    return _NOTHING_TRAINED


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _recording_error(output: Path) -> str:
    """Return the last message of a child whose recording failed."""
    messages = [line for line in _last_lines(output).splitlines() if line.startswith("keras-repro: ")]
    return messages[-1].removeprefix("keras-repro: ") if messages else "its recording could not be finished"


def _last_lines(path: Path) -> str:
    try:
        with open_regular_file(path, what="output") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - (1 << 16)))
            text = file.read().decode("utf-8", "replace")
    except (LedgerError, OSError):
        return ""
    start = text.rfind("Traceback (most recent call last)")
    lines = (text[start:] if start >= 0 else text).rstrip().splitlines()
    shown = lines if start >= 0 and len(lines) <= 60 else lines[-_LAST_LINES:]
    return "".join(f"{line}\n" for line in shown)
