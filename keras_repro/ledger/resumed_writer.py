"""A ledger that an interrupted run left, gone on with by the run that resumes it.

ledger = ResumedLedgerWriter(folder, header)
ledger.append(record)          # made before the interruption too: compared, and not written again
ledger.skip_to(link)           # what a snapshot stands for need not be made again
ledger.append(record)          # the first new one goes behind the last line

So no record that was acknowledged is lost, the chain is one, and a resumed run that is not the same training
is found at its first record.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from typing import Any

from keras_repro.errors import LedgerError, ResumeError
from keras_repro.ledger.chain import next_link
from keras_repro.ledger.reader import LedgerReader, open_ledger
from keras_repro.ledger.schema import Header, Record, StepRecord
from keras_repro.ledger.writer import LedgerWriter

_SWITCH = "switch "
_SHORT = 24  # characters of a setting that is shown with its value
# Of a `fit` record, what its chain does not hold.
_SETTINGS = {
    "configuration": "configuration is another",
    "data": "data are others",
    "validation_data": "validation data are others",
    "arguments": "arguments are others",
}


class ResumedLedgerWriter(LedgerWriter):
    """The writing side of a ledger that is there already.

    Args:
        run_dir: the run folder.
        header: what the header of a new ledger would be.

    Raises:
        ResumeError: another seed, policy or switch was in effect when it was made.
        LedgerError: the ledger is damaged before its last line, or cannot be written.
    """

    def __init__(self, run_dir: str | os.PathLike[str], header: Header) -> None:
        found = open_ledger(run_dir)
        _check_header(found, header)
        self._expected = deque(found.typed_records())
        self._steps = {
            (data.get("fit"), data.get("epoch"), data.get("step"))
            for data in found.records()
            if data.get("kind") == "step"
        }
        complete = found.complete
        try:
            descriptor = os.open(found.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
            if os.fstat(descriptor).st_size != complete.size:
                os.ftruncate(descriptor, complete.size)  # a torn last line
                os.fsync(descriptor)  # or a crash might mix it with the line that comes next
        except OSError as error:
            raise LedgerError(f"cannot write {found.path}: {error.strerror}") from None
        super().__init__(
            found.path, descriptor, Header.from_dict(found.header), lines=complete.lines, size=complete.size
        )

    @property
    def is_behind(self) -> bool:
        """Whether records that were made before the interruption are still to be made again."""
        return bool(self._expected)

    def append(self, record: Record) -> Record:
        """Writes a record, or compares it with the one that was made before the interruption.

        Raises:
            LedgerError: it is another than was made then: the resumed training is not the same.
        """
        with self._lock:
            if self._expected:
                return self._again(record)
        return super().append(record)

    def append_step(self, record: StepRecord) -> None:
        """Writes a step's record, where it is not there from before the interruption."""
        if (record.fit, record.epoch, record.step) not in self._steps:
            super().append_step(record)

    def skip_to(self, link: str) -> None:
        """Goes on behind the record with a link: what a snapshot stands for.

        Raises:
            LedgerError: the ledger holds no such record.
        """
        with self._lock:
            while self.link != link:
                if not self._expected:
                    raise LedgerError(f"{self.path} does not hold the record that the snapshot belongs to")
                self.link = self._expected.popleft().link

    def _again(self, record: Record) -> Record:
        then = self._expected.popleft()
        link = next_link(self.link, record.position, record.sections)
        if link != then.link:
            sections = dict.fromkeys([*then.sections, *record.sections])
            differing = [s for s in sections if then.sections.get(s) != record.sections.get(s)]
            what = " and ".join(differing) or "what is recorded"
            raise ResumeError(
                f"this is not the training that {self.path} recorded before it was interrupted: at "
                f"{record.position} {what} is another; start anew in another run folder"
            )
        for name in _SETTINGS if record.kind == "fit" else ():
            values = [_without_epochs(r.extra.get(name)) for r in (then, record)]
            if values[0] != values[1]:
                raise ResumeError(
                    f"this is not the training that {self.path} recorded before it was interrupted: its "
                    f"{_SETTINGS[name]}{_differing(*values)}; start anew in another run folder"
                )
        self.link = link
        return then


def _check_header(found: LedgerReader, header: Header) -> None:
    """Refuses where another process would not make the same run, as far as its header tells."""
    then, now = (_settings(h) for h in (found.header, header.to_dict()))
    names = [n for n in dict.fromkeys([*then, *now]) if then.get(n) != now.get(n) and _is_known(n, then, now)]
    if names:
        values = _differing(*({n: held.get(n) for n in names} for held in (then, now)))
        raise ResumeError(
            f"cannot go on with {found.path}: {', '.join(names)} changed since it was interrupted{values}; "
            "put it back, or start anew in another run folder"
        )


def _settings(header: Mapping[str, Any]) -> dict[str, Any]:
    """What a header says of how the run is made, by the names that a user is told."""
    held = {name: header.get(name) for name in ("mode", "determinism", "coverage", "seed")}
    switches = {f"{_SWITCH}{s.get('name')}": s.get("achieved") for s in header["switches"]}
    return held | dict(header["policies"]) | switches


def _is_known(name: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a setting counts: what is not known yet when a run begins (no BLAS loaded) is no change."""
    if not name.startswith(_SWITCH):
        return True
    return name != f"{_SWITCH}hash_seed" and None not in (then.get(name), now.get(name))


def _differing(then: Any, now: Any) -> str:
    """Which parts of two settings differ, in brackets; with their values where these are short."""
    if not isinstance(then, Mapping) or not isinstance(now, Mapping):
        return ""
    told = []
    for name in dict.fromkeys([*then, *now]):
        was, is_now = then.get(name), now.get(name)
        if was != is_now:
            short = all(not isinstance(v, Mapping | list) and len(str(v)) <= _SHORT for v in (was, is_now))
            told.append(f"{name}: {was} before, {is_now} now" if short else str(name))
    return f" ({'; '.join(told)})"


def _without_epochs(value: Any) -> Any:
    """Arguments without how long the fit is to go on: a run may be made longer."""
    if not isinstance(value, Mapping):
        return value
    return {n: v for n, v in value.items() if n not in ("epochs", "epochs_requested", "initial_epoch")}
