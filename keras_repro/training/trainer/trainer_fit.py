"""One fit of a trainer, from its run folder to its result.

run = TrainerFit(data, plan, options, header=..., fresh_model=..., start=None).run()

It opens the run folder and its ledger, finds what an interrupted run has left there, calls `Model.fit` with
the callbacks that record and keep it, and ends the record in whatever way the fit ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from keras_repro.errors import DivergenceError
from keras_repro.ledger.reader import open_ledger
from keras_repro.storage.run_folder import new_folder, redirected
from keras_repro.training.backends.active import backend
from keras_repro.training.data.description import describe_data, is_arrays, validation_parts
from keras_repro.training.data.plans.plan import DataPlan, FitData
from keras_repro.training.recording.callback_order import append_callback
from keras_repro.training.recording.fit_callback import FitCallback
from keras_repro.training.recording.fit_context import fit_details
from keras_repro.training.recording.recording_options import RecordingOptions
from keras_repro.training.recording.run_recorder import RunRecorder
from keras_repro.training.resume import script_resume, tensorboard_files
from keras_repro.training.resume.resume import (
    OnSnapshotError,
    Resume,
    SnapshotEvery,
    check_callbacks,
    check_data,
    check_epochs,
    check_lasting,
    finished_result,
    has_all_weights,
)
from keras_repro.training.resume.resume_callback import ResumeCallback
from keras_repro.training.resume.signals import SignalGuard, Terminated, leave_the_process
from keras_repro.training.resume.stateful_op_check import HiddenCounterError
from keras_repro.training.state import initial_values
from keras_repro.training.trainer.model_start import ModelStart
from keras_repro.training.trainer.result import Run


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """What `ReproducibleTrainer.fit` was asked for beside its data; its docstring says what each means."""

    epochs: int
    initial_epoch: int
    run_dir: str | os.PathLike[str] | None
    recording: RecordingOptions
    snapshot_every: SnapshotEvery | None
    resume: bool
    snapshots: int
    background: bool
    on_snapshot_error: OnSnapshotError
    callbacks: Any
    others: Mapping[str, Any]

    @property
    def lasting(self) -> bool:
        """Whether the fit can be resumed."""
        return self.resume or self.snapshot_every is not None


class TrainerFit:
    """One fit of a trainer.

    Args:
        data: what to train on.
        plan: how it is handed to Keras.
        options: what was asked for.
        batch_size: the trainer's.
        header: what the ledger's header says of the trainer.
        fresh_model: makes the model at its start; is given what gives a batch.
        start: the start of a model that was there before; None where one is built.
        strict: whether what cannot be resumed exactly is an error; it is a recorded warning otherwise.
    """

    def __init__(
        self,
        data: FitData,
        plan: DataPlan,
        options: FitOptions,
        *,
        batch_size: int,
        header: Mapping[str, Any],
        fresh_model: Callable[[Callable[[], Any]], keras.Model],
        start: ModelStart | None,
        strict: bool = True,
    ) -> None:
        self._data, self._plan, self._options = data, plan, options
        self._batch_size, self._header, self._start = batch_size, dict(header), start
        self._fresh_model = fresh_model
        self._strict = strict
        self._lasting: Resume | None = None

    def run(self) -> Run:
        """Carries it out; where it was finished before, only its result is put together."""
        run, terminated, begun = None, False, True
        try:
            run = self._open()
            model = self._fresh_model(self._plan.first_batch)
            if self._is_finished(model, run):
                return self._recorded(model, run)
            return self._train(model, run)
        except Terminated:
            terminated = True
            raise
        except HiddenCounterError:
            begun = self._lasting is not None and self._lasting.goes_on
            raise
        finally:
            if self._lasting is not None:
                self._lasting.close()
            if run is not None:
                run.close()
                if not begun:
                    run.ledger.path.unlink(missing_ok=True)  # nothing was trained: it may be mended
            if terminated:
                leave_the_process()

    def _open(self) -> RunRecorder:
        launch = script_resume.present()
        if launch is not None:
            folder = self._options.run_dir or launch.next_folder()
            self._options = replace(self._options, resume=True, run_dir=folder)
            launch.begins()
        options = self._options
        if options.lasting:
            check_lasting(
                options.run_dir,
                options.resume,
                options.snapshot_every,
                options.snapshots,
                options.on_snapshot_error,
            )
            check_callbacks(self._listed())
            self._plan.check_resumable()
        folder = new_folder("trainer") if options.run_dir is None else options.run_dir
        if options.lasting:
            self._lasting = Resume(
                redirected(folder),
                every=options.snapshot_every or "epoch",
                resume=options.resume,
                newest=options.snapshots,
                background=options.background,
                on_error=options.on_snapshot_error,
            )
        return RunRecorder(
            folder,
            options.recording,
            coverage="smo" if self._plan.controls_order else "sm",
            header=self._header,
            resume=self._lasting is not None and self._lasting.goes_on,
        )

    def _is_finished(self, model: keras.Model, run: RunRecorder) -> bool:
        """Whether nothing is left to train; builds the model as far as that needs it."""
        found = None if self._lasting is None else self._lasting.found
        if found is None:
            return False
        check_epochs(found, self._options.epochs, run.folder)
        if not found.position.over:
            return False
        batch = None if model.built or not backend.trainer.has_call(model) else self._plan.first_batch()
        if batch is not None:
            backend.trainer.build_on(model, batch)
        return has_all_weights(model, found)

    def _recorded(self, model: keras.Model, run: RunRecorder) -> Run:
        """The run that is there, finished: nothing is trained."""
        assert self._lasting is not None
        assert self._lasting.found is not None
        found, ledger = self._lasting.found, run.ledger  # which compares the settings
        check_data(open_ledger(ledger.path), self._details())
        history = finished_result(model, self._listed(), found)
        launch = script_resume.present()
        if launch is not None:
            launch.skip(model, found.metadata.get("launched"), ours=self._plan.controls_order)
        return Run(
            fingerprint=open_ledger(ledger.path).fingerprint or "",
            model=model,
            history=history,
            ledger=ledger.path,
            status="finished",
        )

    def _train(self, model: keras.Model, run: RunRecorder) -> Run:
        options, plan = self._options, self._plan
        initial_epoch, first_step = options.initial_epoch, 0
        if self._lasting is not None and self._lasting.found is not None:
            initial_epoch, first_step = self._lasting.begins(options.epochs)
        plan.prepare(model, options.epochs, initial_epoch, first_step)
        given = plan.arguments()
        details, order = self._details(), plan.order_digest if plan.controls_order else None
        callback = FitCallback(
            run,
            details=details,
            order=order,
            on_epoch=plan.on_epoch_begin,
            created_during_fit=None if self._start is None else self._start.was_later,
        )
        others = dict(options.others)
        validation_data = self._data.validation_data
        others.setdefault("validation_batch_size", self._batch_size if is_arrays(validation_data) else None)
        if isinstance(options.callbacks, keras.callbacks.CallbackList):
            options.callbacks.set_model(model)  # `Model.fit` does not, and the model is another each time
        listed, leave = append_callback(options.callbacks, callback, model)
        last, interruptions, leave_too = None, SignalGuard(), _nothing
        if self._lasting is not None:
            self._lasting.run = run
            processes = self._processes(run.folder, goes_on=self._lasting.goes_on)
            last = ResumeCallback(
                self._lasting,
                callback,
                plan,
                interruptions,
                processes=processes,
                strict=self._strict,
            )
            listed, leave_too = append_callback(listed, last, model)
        token = fit_details.set(details | {"order": order})
        try:
            with (
                initial_values.watch(keep_values=self._start is not None) as born,
                interruptions if last is not None else nullcontext(),
            ):
                history = model.fit(
                    **given,
                    epochs=options.epochs,
                    initial_epoch=initial_epoch,
                    callbacks=listed,
                    validation_data=validation_data,
                    **others,
                )
                if self._start is not None:
                    self._start.add_births(born)
                callback.end("finished")
                if last is not None and not callback.stopped_by_us:
                    last.over()
        except Terminated:
            raise
        except BaseException as error:
            if last is None or isinstance(error, DivergenceError):
                callback.end("stopped", reason=type(error).__name__)
            raise
        finally:
            if last is not None:
                last.leave()
                callback.abandon()
            fit_details.reset(token)
            leave_too()
            leave()
        fingerprint = callback.fingerprint or ""
        return Run(
            fingerprint=fingerprint,
            model=model,
            history={name: list(values) for name, values in history.history.items()},
            ledger=run.ledger.path,
            status="stopped" if fingerprint.endswith("-partial") else "finished",
            divergence=callback.divergence,
        )

    def _processes(self, folder: Path, *, goes_on: bool) -> list[str]:
        """The processes whose files of events are this run's, where it has any."""
        if any(isinstance(c, keras.callbacks.TensorBoard) for c in self._listed()):
            return tensorboard_files.note_process(folder, goes_on=goes_on)
        return []

    def _listed(self) -> list[Any]:
        """The callbacks that were given, one by one."""
        given = getattr(self._options.callbacks, "callbacks", self._options.callbacks)
        return list(given) if isinstance(given, list | tuple) else [] if given is None else [given]

    def _details(self) -> dict[str, Any]:
        """What the `fit` record says beside its configuration."""
        data, options = self._data, self._options
        arguments: dict[str, Any] = {
            "epochs_requested": options.epochs,
            "initial_epoch": options.initial_epoch,
        }
        if data.class_weight is not None:
            arguments["class_weight"] = {str(n): float(w) for n, w in data.class_weight.items()}
        described = describe_data(data.x, data.y, data.sample_weight, order="keras_repro")
        described |= self._plan.details(content=options.lasting)
        details: dict[str, Any] = {"data": described, "arguments": arguments}
        if data.validation_data is not None:
            details["validation_data"] = describe_data(*validation_parts(data.validation_data))
        return details


def _nothing() -> None:
    """What there is to leave where nothing was joined."""
