"""The callback of a fit that can be resumed: puts the state back, and takes it where that is due.

callback = ResumeCallback(resume, fit, plan, interruptions)      # put last into the callbacks of `fit`

Once all callbacks have begun the epoch, the whole state is put back, and Keras's epoch is entered at the step
behind the snapshot.
"""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras

from keras_repro.errors import LedgerError, ReproError
from keras_repro.storage.plain_values import pack, unpack
from keras_repro.training.backends.active import backend
from keras_repro.training.data.plans.ordered_plan import steps_per_call
from keras_repro.training.data.plans.plan import DataPlan
from keras_repro.training.portable.operation_check import Finding
from keras_repro.training.resume import script_resume
from keras_repro.training.resume.callback_states import CallbackStates
from keras_repro.training.resume.restore_point import RestorePoint, SnapshotPosition
from keras_repro.training.resume.resume import Resume
from keras_repro.training.resume.signals import SignalGuard
from keras_repro.training.resume.stateful_op_check import StatefulOpCheck, complaint
from keras_repro.training.resume.training_state import TrainingState

_Gathered = tuple[dict[str, Any], dict[str, Any]]  # arrays, and what is kept beside them


class ResumeCallback(keras.callbacks.Callback):
    """Behind all other callbacks: puts the state back where a run goes on, and takes it where it is due.

    Args:
        resume: takes the snapshots.
        fit: the `FitCallback` of the run.
        plan: how the data is handed to Keras.
        interruptions: the `SignalGuard` to act on.
        strict: whether a training step that cannot be resumed exactly is an error; a warning otherwise.
        processes: those whose files of events are this run's, as `event_files.note_process` gives them.
    """

    def __init__(
        self,
        resume: Resume,
        fit: Any,
        plan: DataPlan,
        interruptions: SignalGuard,
        *,
        processes: Collection[str] = (),
        strict: bool = True,
    ) -> None:
        super().__init__()
        self._strict = strict
        self._looked_at: StatefulOpCheck | None = None
        self._processes, self._since = processes, time.time()
        self._interruptions = interruptions
        self._before_test: _Gathered | None = None
        self._was_over = resume.found is not None and resume.found.position.over
        self._resume, self._fit, self._plan = resume, fit, plan
        self._iterator: Any = None
        self._epoch = self._step = 0
        self._logs: dict[str, Any] = {}
        self._warned: set[str] = set()
        self._steps: int | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Sees what callbacks keep; goes back to a snapshot that stands between two epochs.

        What callbacks do as an epoch begins (a learning rate that they set) is then still to be done.
        """
        listed = backend.trainer.calling_list(sys._getframe(1))
        # Behind History, which Keras adds. It goes through the list as it was.
        listed.callbacks = [*(c for c in listed.callbacks if c is not self), self]
        others = [c for c in listed.callbacks if not _is_ours(c)]
        self._state, self._callbacks = TrainingState(self.model), CallbackStates(others)
        found = self._resume.found
        self._steps = (self.params or {}).get("steps")
        self._iterator = backend.epoch_entry.calling_epoch_iterator(sys._getframe(1))
        self._plan.watch(self._iterator)
        self._looked_at = StatefulOpCheck(self.model, self._tell_of)
        self._looked_at.install()
        if found is None and self._resume.goes_on:
            self._callbacks.begin_anew(processes=self._processes, since=self._since)
        if found is not None and found.position.step == 0:
            self._put(found)

    def leave(self) -> None:
        """Leaves the model as it was."""
        if self._looked_at is not None:
            self._looked_at.uninstall()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Goes back to a snapshot from within this epoch, behind what callbacks did as it began."""
        self._epoch, self._step = epoch, 0
        found = self._resume.found
        if found is None:
            return
        self._put(found)
        self._step = found.position.step
        self._logs = unpack(found.metadata["logs"], found.arrays)
        step = None if found.metadata["ended"] else self._step
        if step is None:
            self._plan.resume_validation()
        backend.epoch_entry.start_epoch_at_step(self.model, self._iterator, step=step, logs=self._logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Takes a snapshot where one is due."""
        before, self._step, self._logs = self._step, batch + 1, dict(logs or {})
        if self._interruptions.asked:
            self._take(SnapshotPosition(epoch=self._epoch, step=self._step))
            self._interruptions.leave()
        every = self._resume.every
        if every == "epoch" or (self._steps is not None and self._step >= self._steps):
            return  # after the epoch's last step: at its end
        done = self._epoch * (self._steps or 0)
        if (done + self._step) // int(every) > (done + before) // int(every):
            self._take(SnapshotPosition(epoch=self._epoch, step=self._step))

    def on_test_begin(self, logs: Any = None) -> None:
        """Keeps the state before validation, where an interruption would go back to."""
        self._before_test = self._gathered(ended=True)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Leaves where that is asked for: validation begins anew when the run goes on."""
        if self._interruptions.asked:
            self._take(SnapshotPosition(epoch=self._epoch, step=self._step), self._before_test)
            self._interruptions.leave()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Takes a snapshot behind the epoch's record."""
        self._before_test = None
        self._epoch, self._step = epoch + 1, 0
        every, done = self._resume.every, self._steps or 0
        due = every == "epoch" or (epoch + 1) * done // int(every) > ((epoch + 1) * done - 1) // int(every)
        if due or self._interruptions.asked or self.model.stop_training:
            self._take(SnapshotPosition(epoch=epoch + 1, stopping=bool(self.model.stop_training)))
        if self._interruptions.asked:
            self._interruptions.leave()

    def over(self) -> None:
        """Takes the snapshot of the end, once the fit has returned."""
        if self._was_over:
            return
        self._take(SnapshotPosition(epoch=self._epoch, over=True, stopping=bool(self.model.stop_training)))
        self._resume.wait()
        if self._interruptions.asked:
            self._interruptions.leave()

    def _gathered(self, *, ended: bool = False) -> _Gathered:
        arrays, metadata = self._state.take()
        metadata["epochs"] = (self.params or {}).get("epochs")  # as asked for
        metadata["ended"] = ended  # whether Keras has left the epoch's data
        metadata["callbacks"] = self._callbacks.take(arrays)
        metadata["data"] = pack(self._plan.state(self._iterator), arrays, "data")
        metadata["logs"] = pack(_plain(self._logs), arrays, "logs")
        metadata["record"] = self._fit.fit.resume_state()
        launch = script_resume.present()
        if launch is not None:
            metadata["launched"] = launch.kept()
        return arrays, metadata

    def _take(
        self, position: SnapshotPosition, gathered: tuple[dict[str, Any], dict[str, Any]] | None = None
    ) -> None:
        self._warn_of(self._callbacks.inexact())
        try:
            arrays, metadata = gathered or self._gathered()
        except (ReproError, OSError) as error:
            self._resume.failed(error)
            self._resume.wait()
            return
        self._resume.take(position, arrays, metadata)

    def _put(self, found: RestorePoint) -> None:
        self._resume.found = None
        if any(n.split("/")[1] in ("weights", "optimizer") for n in self._state.missing(found.arrays)):
            self._make_variables()
        self._state.put(found.arrays, found.metadata)
        self._callbacks.put(found.metadata["callbacks"], found.arrays, processes=self._processes)
        step = 0 if found.metadata["ended"] else found.position.step
        self._plan.restore(unpack(found.metadata["data"], found.arrays), self._iterator, step)
        self._fit.fit.resume_from(found.metadata["record"])
        ledger: Any = self._fit.run.ledger
        ledger.skip_to(found.metadata["link"])
        launch = script_resume.present()
        if launch is not None:
            launch.go_on(found.metadata.get("launched"))
        if found.position.over:
            self._fit.fit.end_without_record()
        self.model.stop_training = found.position.stopping
        self._epoch = found.position.epoch

    def _make_variables(self) -> None:
        """Makes one step, of which nothing stays but the variables that it makes."""
        import tensorflow as tf

        data = backend.epoch_entry.new_iterator(self._iterator) if self._plan.restartable else None
        try:
            if data is None:
                raise StopIteration
            self.model.train_function(data)
        except (StopIteration, tf.errors.OutOfRangeError):
            batch = self._plan.first_batch()
            self.model.train_function(iter([batch] * steps_per_call(self.model)))

    def _warn_of(self, names: list[str]) -> None:
        for name in names:
            if name not in self._warned:
                self._warned.add(name)
                self._note(
                    f"callback {name} keeps what a snapshot does not hold: what it does after a resume may "
                    "differ; give it get_state() and set_state(state)"
                )

    def _tell_of(self, found: Sequence[Finding]) -> None:
        """Refuses a training step that cannot be resumed exactly, or notes it."""
        if self._strict:
            raise complaint(self.model, found)
        self._note("a resumed run may differ: " + "; ".join(map(str, found)))

    def _note(self, text: str) -> None:
        warnings.warn(f"keras_repro: {text}", stacklevel=3)
        with contextlib.suppress(LedgerError):
            self._fit.run.ledger.mark("note", text=text)


def _is_ours(callback: Any) -> bool:
    return type(callback).__module__.startswith("keras_repro.")


def _plain(logs: Mapping[str, Any]) -> dict[str, Any]:
    return {str(n): float(v) if hasattr(v, "__float__") else v for n, v in logs.items()}
