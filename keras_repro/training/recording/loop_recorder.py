"""`Recorder`: record a custom training loop.

>>> models = {"generator": build_model(), "discriminator": build_model()}
>>> with kr.Recorder("runs/gan", model=models, optimizers=[keras.optimizers.Adam()]) as recorder:
...     for epoch in range(3):
...         loss, accuracy = models["discriminator"].train_on_batch(x, y)
...         recorder.epoch({"loss": loss})
>>> recorder.fingerprint
'kr1-sm-...'
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from keras_repro.errors import ReproError
from keras_repro.training.recording.fit_recorder import FitRecorder
from keras_repro.training.recording.recorded_part import RecordedPart
from keras_repro.training.recording.recording_options import Keep, RecordingOptions
from keras_repro.training.recording.run_recorder import RunRecorder


class Recorder:
    """Record a custom training loop (GradientTape, `train_on_batch`).

    Args:
        run_dir: the run folder.
        model: the model, or a dict of models by name.
        optimizers: optimizers that belong to no model: a list, or a dict by name.
        overwrite: whether an existing run in `run_dir` may be replaced.
        seed: the seed that you set, for the report.
        sketches: as for `DeterminismCallback`.
        keep: as for `DeterminismCallback`.

    Raises:
        ValueError: `keep` has an unknown value.
        RunFolderError: `run_dir` contains a run already, or cannot be created.

    >>> recorder = kr.Recorder("runs/a", model=build_model())
    >>> recorder.start()
    >>> recorder.epoch({"loss": 0.5})
    >>> recorder.fingerprint
    'kr1-sm-...-partial'
    >>> recorder.end()
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        *,
        model: Any,
        optimizers: Any = (),
        overwrite: bool = False,
        seed: int | None = None,
        sketches: bool = True,
        keep: Keep = None,
    ) -> None:
        options = RecordingOptions(overwrite=overwrite, sketches=sketches, keep=keep)
        self._run = RunRecorder(run_dir, options, coverage="sm", header={"seed": seed})
        self._fit = FitRecorder(RecordedPart(self._run), model, optimizers)
        self._next_epoch = self._next_step = 0
        self._epoch_began: float | None = None

    @property
    def run_dir(self) -> Path:
        """The run folder."""
        return self._run.folder

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint so far, None before the first record; it ends in `-partial` until `end`."""
        return self._run.fingerprint(partial=not self._fit.ended)

    def start(self) -> None:
        """Record the initial state; called by `with`."""
        if self._epoch_began is not None:
            return
        self._fit.start(arguments={}, data={"kind": "not seen", "order": "not ours"})
        self._epoch_began = time.perf_counter()

    def epoch(self, metrics: Mapping[str, Any] | None = None, *, epoch: int | None = None) -> None:
        """Record the state after an epoch.

        Args:
            metrics: metrics of the epoch, such as `{"loss": 0.3}`.
            epoch: the epoch's index from 0; by default the next one.

        Raises:
            ReproError: the recorder has ended.
        """
        self._check_open()
        index = self._next_epoch if epoch is None else epoch
        now = time.perf_counter()
        self._fit.epoch(index, metrics or {}, seconds=now - (self._epoch_began or now))
        self._epoch_began = now
        self._next_epoch, self._next_step = index + 1, 0

    def step(self, loss: Any = None, *, step: int | None = None) -> None:
        """Record the state after a step of the current epoch; not part of the fingerprint.

        Args:
            loss: the loss of the step, or None.
            step: the step's index within the epoch, from 0; by default the next one.

        Raises:
            ReproError: the recorder has ended.
        """
        self._check_open()
        index = self._next_step if step is None else step
        self._fit.step(self._next_epoch, index, loss)
        self._next_step = index + 1

    def end(self, status: str = "finished") -> None:
        """Record the final state and close the ledger; called by `with`."""
        self._fit.end(status)
        self._run.close()

    def __enter__(self) -> Recorder:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end("finished" if kind is None else "stopped")

    def _check_open(self) -> None:
        if self._fit.ended:
            raise ReproError(
                f"the recorder of {self.run_dir} has ended. Create another for another training."
            )
        if self._epoch_began is None:
            self.start()
