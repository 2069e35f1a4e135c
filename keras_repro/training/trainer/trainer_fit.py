"""`TrainerFit`: one fit of a trainer, from its run folder to its result.

run = TrainerFit(data, plan, options, batch_size=32, header=..., fresh_model=..., start=None).run()

It opens the run folder and the ledger, finds the snapshot of an interrupted run, calls `Model.fit` with the
callbacks that record and save, and ends the record however the fit ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from keras_repro.errors import DivergenceError
from keras_repro.ledger.earlier_run import EarlierRun
from keras_repro.ledger.reader import open_ledger
from keras_repro.storage.run_folder import new_folder, redirected
from keras_repro.training.backends.active import backend
from keras_repro.training.data.description import describe_data, is_arrays, validation_parts
from keras_repro.training.data.plans.plan import DataPlan, FitData
from keras_repro.training.recording.callback_order import append_callback, listed_callbacks
from keras_repro.training.recording.fit_callback import FitCallback
from keras_repro.training.recording.fit_context import fit_details
from keras_repro.training.recording.recording_options import RecordingOptions
from keras_repro.training.recording.run_recorder import RunRecorder
from keras_repro.training.resume import script_resume, tensorboard_files
from keras_repro.training.resume.hidden_state import HiddenStateError
from keras_repro.training.resume.restore_point import RestorePoint
from keras_repro.training.resume.resume import (
    Resume,
    check_callbacks,
    check_data,
    check_epochs,
    finished_history,
    has_all_weights,
)
from keras_repro.training.resume.resume_callback import ResumeCallback
from keras_repro.training.resume.resume_options import ResumeOptions
from keras_repro.training.resume.signals import SignalGuard, Terminated, terminate_process
from keras_repro.training.state import initial_values
from keras_repro.training.trainer.model_start import ModelStart
from keras_repro.training.trainer.result import Run


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """The arguments of `ReproducibleTrainer.fit`, except the data; `others` go to `Model.fit`."""

    epochs: int
    initial_epoch: int
    run_dir: str | os.PathLike[str] | None
    recording: RecordingOptions
    resume: ResumeOptions
    callbacks: Any
    others: Mapping[str, Any]


class TrainerFit:
    """One fit of a trainer.

    Args:
        data: the data.
        plan: how the data is passed to Keras.
        options: the other arguments of `fit`.
        batch_size: the trainer's batch size.
        header: fields of the ledger's header.
        fresh_model: function of `plan.first_batch` that returns the model in its initial state.
        start: the initial state of a live model; None if a new model is built.
        strict: whether a training step that cannot be resumed exactly is an error; else it is a recorded
            warning.
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
        self._batch_size, self._header, self._start = batch_size, header, start
        self._fresh_model, self._strict = fresh_model, strict
        self._resume: Resume | None = None

    def run(self) -> Run:
        """Train, or return the result of a run that is finished already."""
        recorder, refused = None, False
        terminated: int | None = None
        try:
            recorder = self._open()
            model = self._fresh_model(self._plan.first_batch)
            restore_point = None if self._resume is None else self._resume.restore_point
            if restore_point is not None and self._is_finished(model, recorder, restore_point):
                return self._finished_run(model, recorder, restore_point)
            return self._train(model, recorder)
        except Terminated as signal:
            terminated = signal.number
            raise
        except HiddenStateError:
            refused = self._resume is None or not self._resume.continues
            raise
        finally:
            if self._resume is not None:
                self._resume.close()
            if recorder is not None:
                recorder.close()
                if refused:  # nothing was trained: the corrected program can use the same run folder
                    EarlierRun(recorder.folder).remove()
            if terminated is not None:
                terminate_process(terminated)

    def _open(self) -> RunRecorder:
        script = script_resume.current()
        if script is not None:
            folder = self._options.run_dir or script.next_folder()
            resume = replace(self._options.resume, resume=True)
            self._options = replace(self._options, resume=resume, run_dir=folder)
            script.begin_fit()
        options = self._options
        if options.resume.enabled:
            options.resume.check(options.run_dir)
            check_callbacks(listed_callbacks(options.callbacks))
            self._plan.check_resumable()
        folder = new_folder("trainer") if options.run_dir is None else options.run_dir
        if options.resume.enabled:
            overwrite = options.recording.overwrite
            self._resume = Resume(redirected(folder), options.resume, overwrite=overwrite)
        return RunRecorder(
            folder,
            options.recording,
            coverage="smo" if self._plan.controls_order else "sm",
            header=self._header,
            resume=self._resume is not None and self._resume.continues,
        )

    def _is_finished(self, model: keras.Model, recorder: RunRecorder, restore_point: RestorePoint) -> bool:
        """Return whether the run is finished; builds the model if it is."""
        check_epochs(restore_point, self._options.epochs, recorder.folder)
        if not restore_point.position.over:
            return False
        if not model.built and backend.trainer.has_call(model):
            batch = self._plan.first_batch()
            if batch is not None:
                backend.trainer.build_on(model, batch)
        return has_all_weights(model, restore_point)

    def _finished_run(self, model: keras.Model, recorder: RunRecorder, restore_point: RestorePoint) -> Run:
        """Return the recorded result of a finished run."""
        path = recorder.ledger.path  # opening the ledger compares the settings
        ledger = open_ledger(path)
        check_data(ledger, self._details())
        history = finished_history(model, listed_callbacks(self._options.callbacks), restore_point)
        script = script_resume.current()
        if script is not None:
            state = restore_point.metadata.get("launched")
            script.skip(model, state, controls_order=self._plan.controls_order)
        return Run(
            fingerprint=ledger.fingerprint or "",
            model=model,
            history=history,
            ledger=path,
            status="finished",
        )

    def _train(self, model: keras.Model, recorder: RunRecorder) -> Run:
        options, plan, resume = self._options, self._plan, self._resume
        position = (options.initial_epoch, 0)
        if resume is not None and resume.restore_point is not None:
            position = resume.start_position(options.epochs)
        plan.prepare(model, options.epochs, *position)
        training_data = plan.arguments()
        details, order = self._details(), plan.order_digest if plan.controls_order else None
        recording = FitCallback(
            recorder,
            details=details,
            order=order,
            on_epoch=plan.on_epoch_begin,
            created_during_fit=None if self._start is None else self._start.created_during_fit,
        )
        validation_data = self._data.validation_data
        validation_batch_size = self._batch_size if is_arrays(validation_data) else None
        if isinstance(options.callbacks, keras.callbacks.CallbackList):
            options.callbacks.set_model(model)  # `Model.fit` does not, and each run may have a new model
        saving, guard = None, SignalGuard()
        with ExitStack() as cleanup:
            callbacks, remove = append_callback(options.callbacks, recording, model)
            cleanup.callback(remove)
            if resume is not None:
                processes = self._note_process(recorder.folder, resume)
                saving = ResumeCallback(
                    resume, recording, plan, guard, processes=processes, strict=self._strict
                )
                callbacks, remove = append_callback(callbacks, saving, model)
                cleanup.callback(remove)
                cleanup.callback(recording.abandon)
                cleanup.callback(saving.uninstall)
            cleanup.callback(fit_details.reset, fit_details.set(details | {"order": order}))
            try:
                with (
                    initial_values.watch(keep_values=self._start is not None) as created,
                    nullcontext() if saving is None else guard,
                ):
                    history = model.fit(
                        **training_data,
                        epochs=options.epochs,
                        initial_epoch=position[0],
                        callbacks=callbacks,
                        validation_data=validation_data,
                        **{"validation_batch_size": validation_batch_size, **options.others},
                    )
                    if self._start is not None:
                        self._start.add(created)
                    recording.end("finished")
                    if saving is not None and not recording.stopped_by_us:
                        saving.finish()
            except Terminated:
                raise
            except BaseException as error:
                if saving is None or isinstance(error, DivergenceError):
                    recording.end("stopped", reason=type(error).__name__)
                raise
        fingerprint = recording.fingerprint or ""
        return Run(
            fingerprint=fingerprint,
            model=model,
            history={name: list(values) for name, values in history.history.items()},
            ledger=recorder.ledger.path,
            status="stopped" if fingerprint.endswith("-partial") else "finished",
            divergence=recording.divergence,
        )

    def _note_process(self, folder: Path, resume: Resume) -> list[str]:
        """Return the processes of this run if they write event files."""
        if any(isinstance(c, keras.callbacks.TensorBoard) for c in listed_callbacks(self._options.callbacks)):
            return tensorboard_files.note_process(folder, continues=resume.continues)
        return []

    def _details(self) -> dict[str, Any]:
        """Return fields of the `fit` record."""
        data, options = self._data, self._options
        arguments: dict[str, Any] = {
            "epochs_requested": options.epochs,
            "initial_epoch": options.initial_epoch,
        }
        if data.class_weight is not None:
            arguments["class_weight"] = {str(n): float(w) for n, w in data.class_weight.items()}
        description = describe_data(data.x, data.y, data.sample_weight, order="keras_repro")
        description |= self._plan.details(content=options.resume.enabled)
        details: dict[str, Any] = {"data": description, "arguments": arguments}
        if data.validation_data is not None:
            details["validation_data"] = describe_data(*validation_parts(data.validation_data))
        return details
