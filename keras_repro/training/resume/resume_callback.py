"""`ResumeCallback`: restore the state of an interrupted fit, and save snapshots.

callback = ResumeCallback(resume, fit, plan, guard)      # the last of the callbacks of `fit`

When all callbacks have begun the epoch, the whole state is restored, and Keras continues at the step after
the snapshot.
"""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Any

import keras

from keras_repro.errors import LedgerError, ReproError, ResumeError
from keras_repro.storage.plain_values import pack, unpack
from keras_repro.training.backends.active import backend
from keras_repro.training.backends.train_function import unwrapped
from keras_repro.training.data.plans.ordered_plan import steps_per_call
from keras_repro.training.data.plans.plan import DataPlan
from keras_repro.training.graph.traced_step import FirstTrace
from keras_repro.training.resume import script_resume
from keras_repro.training.resume.callback_states import CallbackStates
from keras_repro.training.resume.hidden_state import error_for, hidden_state
from keras_repro.training.resume.restore_point import RestorePoint, SnapshotPosition
from keras_repro.training.resume.resume import Resume
from keras_repro.training.resume.signals import SignalGuard
from keras_repro.training.resume.training_state import TrainingState

_ADVICE = "Keep it in a tf.Variable or in plain values; or give the callback get_state() and set_state(state)"
_Captured = tuple[dict[str, Any], dict[str, Any]]  # arrays and other values of a snapshot


class ResumeCallback(keras.callbacks.Callback):
    """Restore the state of an interrupted fit, and save snapshots; after all other callbacks.

    Args:
        resume: the snapshots of the run.
        fit: the `FitCallback` of the run.
        plan: how the data is passed to Keras.
        guard: the signals that interrupt the fit.
        processes: the processes of this run, as `tensorboard_files.note_process` returns them.
        strict: whether a training step that cannot be resumed exactly is an error; else it is a warning.
    """

    def __init__(
        self,
        resume: Resume,
        fit: Any,
        plan: DataPlan,
        guard: SignalGuard,
        *,
        processes: Collection[str] = (),
        strict: bool = True,
    ) -> None:
        super().__init__()
        self._resume, self._fit, self._plan, self._guard = resume, fit, plan, guard
        self._processes, self._strict = processes, strict
        self._began = time.time()
        self._was_over = resume.restore_point is not None and resume.restore_point.position.over
        self._traces: list[FirstTrace] = []
        self._before_test: _Captured | None = None
        self._iterator: Any = None
        self._epoch = self._step = 0
        self._steps: int | None = None  # of an epoch
        self._logs: dict[str, Any] = {}
        self._warned: set[str] = set()

    def on_train_begin(self, logs: Any = None) -> None:
        """Restore a snapshot between two epochs.

        Callbacks then begin the epoch in the restored state: they may set its learning rate, for example.
        """
        listed = backend.trainer.calling_list(sys._getframe(1))
        # After History, which Keras adds. Keras is iterating over the old list.
        listed.callbacks = [*(c for c in listed.callbacks if c is not self), self]
        others = [c for c in listed.callbacks if not type(c).__module__.startswith("keras_repro.")]
        self._state, self._callbacks = TrainingState(self.model, others), CallbackStates(others)
        self._steps = (self.params or {}).get("steps")
        self._iterator = backend.epoch_entry.calling_epoch_iterator(sys._getframe(1))
        self._plan.watch(self._iterator)
        self._function = unwrapped(self.model.train_function)
        self.model.make_test_function()
        for function in ("train_function", "test_function"):
            trace = FirstTrace(
                self.model,
                partial(self._note_trace, function),
                function,
                around=partial(self._state.tracing, function),
            )
            trace.install()
            self._traces.append(trace)
        restore_point = self._resume.restore_point
        if restore_point is None and self._resume.continues:
            self._callbacks.remove_orphaned_files(processes=self._processes, since=self._began)
        if restore_point is not None and restore_point.position.step == 0:
            self._restore(restore_point)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Restore a snapshot within this epoch, which callbacks have begun again."""
        self._epoch, self._step = epoch, 0
        restore_point = self._resume.restore_point
        if restore_point is None:
            return
        self._restore(restore_point)
        self._step = restore_point.position.step
        self._logs = unpack(restore_point.metadata["logs"], restore_point.arrays)
        step = None if restore_point.metadata["ended"] else self._step
        if step is None:
            self._plan.resume_validation()
        backend.epoch_entry.start_epoch_at_step(self.model, self._iterator, step=step, logs=self._logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Save a snapshot if one is due or a signal arrived."""
        before, self._logs = self._step, dict(logs or {})
        self._step = backend.epoch_entry.last_step(self._iterator, batch) + 1
        position = SnapshotPosition(epoch=self._epoch, step=self._step)
        if self._guard.requested:
            self._save(position)
            self._guard.exit()
        is_last = self._steps is not None and self._step >= self._steps
        if not is_last and self._is_due(before, self._step):  # after the last step: when the epoch ends
            self._save(position)

    def on_test_begin(self, logs: Any = None) -> None:
        """Capture the state before validation: an interrupted validation starts again from it."""
        self._before_test = self._capture(ended=True)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Exit if a signal arrived."""
        if self._guard.requested:
            self._save(SnapshotPosition(epoch=self._epoch, step=self._step), self._before_test)
            self._guard.exit()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save a snapshot, after the epoch's record, if one is due or training stops here."""
        steps = self._steps or 0
        due = self._resume.options.interval == "epoch" or self._is_due(steps - 1, steps)
        self._before_test = None
        self._epoch, self._step = epoch + 1, 0
        if due or self._guard.requested or self.model.stop_training:
            self._save(SnapshotPosition(epoch=self._epoch, stopping=bool(self.model.stop_training)))
        if self._guard.requested:
            self._guard.exit()

    def finish(self) -> None:
        """Save the snapshot of the end, after the fit has returned."""
        if self._was_over:
            return
        self._save(SnapshotPosition(epoch=self._epoch, over=True, stopping=bool(self.model.stop_training)))
        self._resume.wait()
        if self._guard.requested:
            self._guard.exit()

    def uninstall(self) -> None:
        """Remove the hooks from the model's functions."""
        for trace in self._traces:
            trace.uninstall()

    def _is_due(self, before: int, step: int) -> bool:
        """Return whether a snapshot is due at a step of the current epoch, after the step `before`."""
        interval, first = self._resume.options.interval, self._epoch * (self._steps or 0)
        return interval != "epoch" and (first + step) // interval > (first + before) // interval

    def _capture(self, *, ended: bool = False) -> _Captured:
        """Return the content of a snapshot.

        Args:
            ended: whether Keras has closed the data of the epoch.
        """
        arrays, metadata = self._state.capture()
        if unwrapped(self.model.train_function) is not self._function:
            metadata["user"]["inexact"].append("the training step was compiled again during the training")
        metadata["epochs"] = (self.params or {}).get("epochs")  # the argument of fit
        metadata["ended"] = ended
        metadata["callbacks"] = self._callbacks.capture(arrays)
        metadata["data"] = pack(self._plan.state(self._iterator), arrays, "data")
        logs = {str(n): float(v) if hasattr(v, "__float__") else v for n, v in self._logs.items()}
        metadata["logs"] = pack(logs, arrays, "logs")
        metadata["record"] = self._fit.fit.state()
        script = script_resume.current()
        if script is not None:
            metadata["launched"] = script.state()
        return arrays, metadata

    def _save(self, position: SnapshotPosition, captured: _Captured | None = None) -> None:
        try:
            arrays, metadata = captured or self._capture()
        except (ReproError, OSError) as error:
            self._resume.report_failure(error)
            self._resume.wait()
            return
        self._warn_of(metadata["user"]["inexact"])
        self._resume.save(self._fit.run, position, arrays, metadata)

    def _restore(self, restore_point: RestorePoint) -> None:
        arrays, metadata, position = restore_point.arrays, restore_point.metadata, restore_point.position
        self._resume.restore_point = None
        self._state.restore_traced(arrays, metadata)
        self._traces[0].trace(backend.epoch_entry.spec_of_batches(self._iterator))
        if any(n.split("/")[1] in ("weights", "optimizer") for n in self._state.missing(arrays)):
            self._create_variables()
        self._act_on(self._state.restore(arrays, metadata))
        self._callbacks.restore(metadata["callbacks"], arrays, processes=self._processes)
        step = 0 if metadata["ended"] else position.step
        self._plan.restore(unpack(metadata["data"], arrays), self._iterator, step)
        self._fit.fit.restore(metadata["record"])
        self._fit.run.ledger.skip_to(metadata["link"])
        script = script_resume.current()
        if script is not None:
            script.restore(metadata.get("launched"))
        if position.over:
            self._fit.fit.end_without_record()
        self.model.stop_training = position.stopping
        self._epoch = position.epoch

    def _create_variables(self) -> None:
        """Make one step, which creates variables. The restored state replaces all else that it changes."""
        import tensorflow as tf

        if self._plan.restartable:
            with contextlib.suppress(StopIteration, tf.errors.OutOfRangeError):
                self.model.train_function(backend.epoch_entry.new_iterator(self._iterator))
                return
        batch = self._plan.first_batch()
        self.model.train_function(iter([batch] * steps_per_call(self.model)))

    def _act_on(self, problems: Sequence[str]) -> None:
        """Refuse to resume if something cannot be restored; without `strict`, note it."""
        if problems and self._strict:
            listed = "".join(f"\n  {problem}" for problem in problems)
            raise ResumeError(
                f"the run cannot be resumed exactly; nothing was trained:{listed}\n{_ADVICE}; or use "
                "strict=False to resume it inexactly"
            )
        if problems:
            self._note("the resumed run may differ: " + "; ".join(problems))

    def _warn_of(self, inexact: Iterable[str]) -> None:
        for text in inexact:
            if text not in self._warned:
                self._warned.add(text)
                self._note(
                    f"no snapshot contains a part of the state, so a resume is refused: {text}. {_ADVICE}"
                )

    def _note_trace(self, function: str, graph: Any) -> None:
        if function == "train_function":
            tables = self._state.reach().tables
            findings = hidden_state(graph, self.model, tables)
            if findings and self._strict:
                raise error_for(self.model, findings)
            if findings:
                self._note("a resumed run may differ: " + "; ".join(map(str, findings)))
        self._state.trace(graph, function)

    def _note(self, text: str) -> None:
        warnings.warn(f"keras_repro: {text}", stacklevel=3)
        with contextlib.suppress(LedgerError):
            self._fit.run.ledger.mark("note", text=text)
