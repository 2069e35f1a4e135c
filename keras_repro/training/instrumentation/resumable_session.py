"""The recording of a launched script that goes on where it was interrupted, beside its trainer's fits."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Mapping
from typing import Any

from keras_repro.errors import ResumeError
from keras_repro.ledger.resumed_writer import ResumedLedgerWriter
from keras_repro.training.instrumentation.script_session import ScriptSession
from keras_repro.training.recording.fit_context import fit_details

_HOW = (
    "train through kr.ReproducibleTrainer(...).fit(...), whose fits can be resumed (docs/resume.md), or "
    "leave out --resume"
)


class ResumableSession(ScriptSession):
    """Records what one process does with Keras models, and goes on with what an earlier one has recorded.

    An interruption leaves no mark of its own: the record just ends, and is gone on with.
    """

    _under_way: Any = None

    def train_on_batch(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        """Refuses a loop of the script's own."""
        if self._outermost() and not self.run.closed:
            raise ResumeError(f"the script calls train_on_batch by itself, which cannot be resumed: {_HOW}")
        return wrapped(*args, **kwargs)

    def exit(self, status: str, **details: Any) -> None:
        """Ends the run where the script has come to its end."""
        if status == "finished":
            super().exit(status, **details)
        else:
            self.run.close()

    def state(self) -> dict[str, Any]:
        """What a snapshot has to hold of this record, for JSON."""
        fit = self._under_way.fit
        record = None if fit is None or fit.ended else fit.resume_state()
        self.run.ledger.sync()
        return {
            "link": self.run.ledger.link,
            "record": record,
            "last": None if fit is None else fit.last_digests,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was asked for, within a fit that has begun again."""
        fit = self._under_way.fit
        if state["record"] is None:
            fit.last_digests = state["last"]
            fit.end_without_record()
        else:
            fit.resume_from(state["record"])
        self._skip_to(state["link"])

    def skip(self, model: Any, state: Mapping[str, Any], *, controls_order: bool) -> None:
        """Goes on behind a fit that was finished before and is not made again."""
        self._end_loops()
        self._leave_to_others(model)
        if controls_order and not self.run.started:
            self.run.coverage += "o"
        number = self.run.next_fit()
        self.run.number_of(model)
        self._skip_to(state["link"])
        self._last_fitted = model
        self._fitted.append((weakref.ref(model), f"fit {number}", state["last"]))

    def _skip_to(self, link: str) -> None:
        ledger = self.run.ledger
        if not isinstance(ledger, ResumedLedgerWriter):
            raise ResumeError(
                f"{self.run.folder} does not hold the record of the script that this run belongs to: go on "
                "with it in the folder where it was begun"
            )
        ledger.skip_to(link)

    def _join(self, model: Any, bound: inspect.BoundArguments) -> tuple[Any, Any]:
        if fit_details.get() is None and not self.run.closed:
            raise ResumeError(f"the script calls Model.fit by itself, which cannot be resumed: {_HOW}")
        callback, leave = super()._join(model, bound)
        if callback is not None:
            self._under_way = callback
            _put_before_last(bound.arguments["callbacks"], callback)
        return callback, leave

    def _end_fit(self, model: Any, callback: Any, status: str, **details: Any) -> None:
        if status == "stopped":
            callback.abandon()
        else:
            super()._end_fit(model, callback, status, **details)


def _put_before_last(callbacks: Any, callback: Any) -> None:
    """Puts our callback before that of the resumed fit, which puts the state back once all have begun."""
    from keras_repro.training.resume.resume_callback import ResumeCallback

    listed = getattr(callbacks, "callbacks", callbacks)
    last = [c for c in listed if isinstance(c, ResumeCallback)]
    listed[:] = [c for c in listed if c not in (*last, callback)] + [callback, *last]
