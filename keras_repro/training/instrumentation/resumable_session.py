"""Record a launched script that is resumed (`--resume`), together with its trainer's fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_repro.errors import ResumeError
from keras_repro.ledger.resumed_writer import ResumedLedgerWriter
from keras_repro.training.backends.hooks import Call, Steps
from keras_repro.training.instrumentation.script_session import ScriptSession
from keras_repro.training.recording.fit_context import fit_details
from keras_repro.training.recording.recorded_part import RecordedPart

_FIX = "use kr.ReproducibleTrainer(...).fit(...) (docs/resume.md), or omit --resume"


class ResumableSession(ScriptSession):
    """Record what one process does with Keras models, and continue the record of an earlier process.

    An interruption is not recorded: the record ends there, and is continued later.
    """

    _current: Any = None  # the callback of the last fit

    def train_on_batch(self, call: Call) -> Steps:
        """Refuse a custom training loop."""
        if self._is_outermost() and not self.run.closed:
            raise ResumeError(f"the script calls train_on_batch directly, which cannot be resumed: {_FIX}")
        yield

    def exit(self, status: str, **details: Any) -> None:
        """End the run if the script has finished."""
        if status == "finished":
            super().exit(status, **details)
        else:
            self.run.close()

    def state(self) -> dict[str, Any]:
        """Return what a snapshot needs of this record, for JSON."""
        fit = self._current.fit
        record = None if fit is None or fit.ended else fit.state()
        self.run.ledger.sync()
        last = None if fit is None else fit.last_digests
        return {"link": self.run.ledger.link, "record": record, "last": last}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the result of `state`, inside the fit that is resumed."""
        fit = self._current.fit
        if state["record"] is None:
            fit.last_digests = state["last"]
            fit.end_without_record()
        else:
            fit.restore(state["record"])
        self._skip_to(state["link"])

    def skip(self, model: Any, state: Mapping[str, Any], *, controls_order: bool) -> None:
        """Continue after a fit that was finished by an earlier process."""
        self._record_loops(model)
        self._forget_created(model)
        if controls_order:
            self._cover_order()
        part = self._new_part(model)
        part.begin_fit()
        part.number_of(model)
        self._skip_to(state["link"])
        self._add_fitted(model, part, state["last"])

    def _skip_to(self, link: str) -> None:
        ledger = self.run.ledger
        if not isinstance(ledger, ResumedLedgerWriter):
            raise ResumeError(
                f"cannot resume in {self.run.folder}: the record of the script is in another run folder. Use "
                "the run folder in which the script was started"
            )
        ledger.skip_to(link)

    def _new_part(self, model: Any) -> RecordedPart:
        return RecordedPart(self.run)  # an interrupted record is continued in the order of its records

    def _add_callback(self, model: Any, arguments: dict[str, Any], part: RecordedPart) -> tuple[Any, Any]:
        if fit_details.get() is None and not self.run.closed:
            raise ResumeError(f"the script calls Model.fit directly, which cannot be resumed: {_FIX}")
        callback, remove = super()._add_callback(model, arguments, part)
        if callback is not None:
            self._current = callback
            _put_before_last(arguments["callbacks"], callback)
        return callback, remove

    def _end_fit(self, model: Any, callback: Any, status: str, **details: Any) -> None:
        if status == "stopped":
            callback.abandon()
        else:
            super()._end_fit(model, callback, status, **details)


def _put_before_last(callbacks: Any, callback: Any) -> None:
    """Move our callback before the `ResumeCallback`, which restores the state after all have begun."""
    from keras_repro.training.resume.resume_callback import ResumeCallback

    listed = getattr(callbacks, "callbacks", callbacks)
    last = [c for c in listed if isinstance(c, ResumeCallback)]
    listed[:] = [c for c in listed if c not in (*last, callback)] + [callback, *last]
