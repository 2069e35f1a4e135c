"""What became of a child process: did it end well, and was a training seen in it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from keras_repro.errors import LaunchError
from keras_repro.ledger.reader import LedgerReader, open_ledger
from keras_repro.processes.child import Outcome
from keras_repro.processes.protocol import OUTPUT_NAME, RECORDING_FAILED
from keras_repro.storage.run_folder import LEDGER_NAME

_LAST_LINES = 15


def raise_for_outcome(outcome: Outcome, folder: Path, *, name: str) -> None:
    """Says what went wrong with a child, if something did.

    Raises:
        LaunchError: it failed, was killed, or nothing of a training was seen in it.
    """
    names = {"ledger": LEDGER_NAME, "output": OUTPUT_NAME}
    held = " and ".join(what for what, file in names.items() if (folder / file).exists())
    kept = f"{held or 'nothing'} kept in {folder}"
    if outcome.code < 0:
        raise LaunchError(f"{name} was killed by {_signal_name(-outcome.code)}; {kept}")
    if outcome.code == RECORDING_FAILED:
        raise LaunchError(f"{name}: {_reason(folder / OUTPUT_NAME)}; the script itself ended well; {kept}")
    if outcome.code != 0:
        output = _last_lines(folder / OUTPUT_NAME)
        raise LaunchError(f"{name} failed with exit code {outcome.code}; {kept}", output)
    if not (folder / LEDGER_NAME).exists():
        raise LaunchError(
            f"{name}: it left no record: it ended with os._exit, or became another program with os.exec, "
            f"which is not observed; {kept}"
        )
    reason = _unobserved(open_ledger(folder))
    if reason is not None:
        help_for_loops = f"; {_OF_LAYERS}" if reason == _NONE_SEEN else ""
        raise LaunchError(f"{name}: {reason}; {kept}{help_for_loops}")


_NONE_SEEN = "no Keras training was seen in it: nothing to compare"
_OF_LAYERS = "a loop by hand is seen if a keras.Model or a Keras optimizer has part in it"


def _unobserved(ledger: LedgerReader) -> str | None:
    """Why a finished run holds no training at all, None where it holds one."""
    last: dict[str, Any] = {}
    for record in ledger.typed_records():
        if record.kind != "exit" or record.tensors:
            return None
        last = dict(record.extra)
    if last.get("unsupported"):
        return f"{', '.join(last['unsupported'])} are not supported yet: the training was not observed"
    if last.get("unobserved") or last.get("processes"):
        return "no training in this process; one in a process that the script starts is not observed"
    return _NONE_SEEN


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _reason(output: Path) -> str:
    """What a child said last of its failed recording."""
    said = [line for line in _last_lines(output).splitlines() if line.startswith("keras-repro: ")]
    return said[-1].removeprefix("keras-repro: ") if said else "its recording could not be finished"


def _last_lines(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - (1 << 16)))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    start = text.rfind("Traceback (most recent call last)")
    lines = (text[start:] if start >= 0 else text).rstrip().splitlines()
    shown = lines if start >= 0 and len(lines) <= 60 else lines[-_LAST_LINES:]
    return "".join(f"{line}\n" for line in shown)
