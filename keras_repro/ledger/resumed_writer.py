"""Continue the ledger of an interrupted run.

ledger = ResumedLedgerWriter(folder, header)
ledger.append(record)          # recorded before the interruption: compared, not written again
ledger.skip_to(link)           # skips the records up to a snapshot
ledger.append(record)          # the first new record follows the last line

No acknowledged record is lost, and there is one chain. If the resumed run is not the same training, its first
record shows it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from typing import Any

from keras_repro.errors import LedgerError, ResumeError
from keras_repro.ledger.chain import next_link
from keras_repro.ledger.reader import LedgerReader, open_ledger
from keras_repro.ledger.schema import Header, Record, StepRecord, switches_in, without_later_fields
from keras_repro.ledger.writer import LedgerWriter
from keras_repro.utils.appended_file import AppendedFile
from keras_repro.utils.mappings import differing_names
from keras_repro.utils.text import system_reason

_SWITCH = "switch "
_SHORT = 24  # characters of a value that messages show
# The fields of a `fit` record that are not in the chain.
_SETTINGS = {
    "configuration": "configuration differs",
    "data": "data differ",
    "validation_data": "validation data differ",
    "arguments": "arguments differ",
}


class ResumedLedgerWriter(LedgerWriter):
    """The writing side of an existing ledger.

    Args:
        run_dir: the run folder.
        header: the header that a new ledger would have.

    Raises:
        ResumeError: the ledger was recorded with another seed, policy or switch.
        LedgerError: the ledger is damaged before its last line, or cannot be written.
    """

    def __init__(self, run_dir: str | os.PathLike[str], header: Header) -> None:
        recorded = open_ledger(run_dir)
        _check_header(recorded, header)
        self._expected = deque(recorded.typed_records())
        self._steps = {
            (data.get("fit"), data.get("epoch"), data.get("step"))
            for data in recorded.records()
            if data.get("kind") == "step"
        }
        try:
            file = AppendedFile(recorded.path, size=recorded.complete.size)  # without an incomplete last line
        except OSError as error:
            raise LedgerError(f"cannot write {recorded.path}: {system_reason(error)}") from None
        super().__init__(file, Header.from_dict(recorded.header), lines=recorded.complete.lines)

    def append(self, record: Record) -> Record:
        """Write a record, or compare it with the one from before the interruption.

        Raises:
            ResumeError: the record differs: the resumed training is not the same.
        """
        with self._lock:
            if self._expected:
                return self._compare(record)
        return super().append(record)

    def append_step(self, record: StepRecord) -> None:
        """Write the record of a step, unless it was written before the interruption."""
        if (record.fit, record.epoch, record.step) not in self._steps:
            super().append_step(record)

    def skip_to(self, link: str) -> None:
        """Continue after the record with a link, to which a snapshot belongs.

        Raises:
            LedgerError: the ledger has no such record.
        """
        with self._lock:
            while self.link != link:
                if not self._expected:
                    raise LedgerError(f"{self.path} does not contain the record that the snapshot belongs to")
                self.link = self._expected.popleft().link

    def _compare(self, record: Record) -> Record:
        recorded = self._expected.popleft()
        link = next_link(self.link, record.position, record.sections)
        if link != recorded.link:
            differing = " and ".join(differing_names(recorded.sections, record.sections)) or "the position"
            raise self._other_training(f"at {record.position}, {differing} differs")
        for name in _SETTINGS if record.kind == "fit" else ():
            values = [_without_epochs(without_later_fields(r.extra.get(name))) for r in (recorded, record)]
            if values[0] != values[1]:
                raise self._other_training(f"its {_SETTINGS[name]}{_differing_values(*values)}")
        self.link = link
        return recorded

    def _other_training(self, reason: str) -> ResumeError:
        return ResumeError(
            f"cannot resume {self.path}: this is not the training that was interrupted: {reason}. "
            "Use another run folder for a new run"
        )


def _check_header(recorded: LedgerReader, header: Header) -> None:
    """Raise ResumeError if the headers show that this process would not make the same run."""
    settings = _settings(recorded.header), _settings(header.to_dict())
    # A switch that only one of the processes could read (the other has not loaded BLAS) has not changed.
    unread = {name for name in settings[0].keys() ^ settings[1].keys() if name.startswith(_SWITCH)}
    before, now = ({n: v for n, v in s.items() if n not in unread} for s in settings)
    names = differing_names(before, now)
    if names:
        raise ResumeError(
            f"cannot resume {recorded.path}: {', '.join(names)} changed since the interruption"
            f"{_differing_values(before, now)}. Restore it, or use another run folder for a new run"
        )


def _settings(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in a header that decide how the run is made, by name."""
    settings = {name: header.get(name) for name in ("mode", "determinism", "coverage", "seed")}
    values = {n: s.get("achieved") for n, s in switches_in(header).items() if n != "hash_seed"}
    return settings | header["policies"] | {f"{_SWITCH}{n}": v for n, v in values.items() if v is not None}


def _differing_values(before: Any, now: Any) -> str:
    """Return the differing parts of two settings, in brackets; with their values if these are short."""
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return ""
    parts = []
    for name in differing_names(before, now):
        values = before.get(name), now.get(name)
        short = all(not isinstance(v, Mapping | list) and len(str(v)) <= _SHORT for v in values)
        parts.append(f"{name}: {values[0]} before, {values[1]} now" if short else str(name))
    return f" ({'; '.join(parts)})"


def _without_epochs(value: Any) -> Any:
    """Return arguments without the number of epochs: a resumed run may be longer."""
    if not isinstance(value, Mapping):
        return value
    return {n: v for n, v in value.items() if n not in ("epochs", "epochs_requested", "initial_epoch")}
