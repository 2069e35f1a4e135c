"""`DeterminismCallback`: record the complete state in any `model.fit`, and detect a divergence early.

>>> keras.utils.set_random_seed(1)
>>> _ = build_model().fit(x, y, callbacks=[kr.DeterminismCallback("runs/a")], verbose=0)
>>> keras.utils.set_random_seed(1)
>>> second = kr.DeterminismCallback("runs/b", reference="runs/a")
>>> _ = build_model().fit(x, y, callbacks=[second], verbose=0)
>>> second.divergence is None
True
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_repro.training.recording.fit_callback import FitCallback
from keras_repro.training.recording.recording_options import Every, Keep, OnDivergence, RecordingOptions
from keras_repro.training.recording.run_recorder import RunRecorder


class DeterminismCallback(FitCallback):
    """Record the complete state of a training, and compare it live with an earlier run.

    The state is hashed at the start of fit, after each epoch and at the end: one digest per tensor, one per
    section. Put the callback last in the list of callbacks.

    A copy (`copy.deepcopy`, `pickle`, `sklearn.base.clone`) has recorded nothing yet, whenever it is made.
    Each copy records its own run into a folder of its own: `run_dir` with the first free number from 2 on
    (`runs/a-2`), made at its first fit. It replaces no other run.

    Args:
        run_dir: the run folder; must not contain a run yet. If the callback is used for several fits, they
            are numbered.
        reference: a run folder or ledger to compare with while training, or None.
        every: when to record: `"epoch"`, or also after each `"step"`, or after every N-th step. A step record
            holds the state and the loss; it is not part of the fingerprint (docs/performance.md lists the
            cost). If Keras runs several steps in one call, the last of them is recorded.
        on_divergence: what to do after the first record that differs: `"stop"` the training, `"raise"` a
            `DivergenceError`, or `"warn"` and continue.
        overwrite: whether an existing run in `run_dir` may be replaced.
        seed: the seed that you set, for the report.
        sketches: whether to write small sketches of the weights with each record, from which `compare`
            estimates the distance between two runs.
        keep: snapshots of the weights to keep in the run folder, for exact distances: `"all"` (after each
            epoch), `"last"`, a list of epochs (counted from 1, as Keras prints them), or None.

    Attributes:
        run_dir: the run folder. That of a copy has its number from its first fit on.
        divergence: the `Divergence` from the reference, None as long as there is none.

    Raises:
        ValueError: `on_divergence`, `every` or `keep` has an unknown value.
        RunFolderError: `run_dir` contains a run already, or cannot be created.
        LedgerError: the reference cannot be read.

    >>> keras.utils.set_random_seed(1)
    >>> callback = kr.DeterminismCallback("runs/a", seed=1)
    >>> _ = build_model().fit(x, y, epochs=2, callbacks=[callback], verbose=0)
    >>> callback.fingerprint
    'kr1-sm-...'
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        *,
        every: Every = "epoch",
        reference: str | os.PathLike[str] | None = None,
        on_divergence: OnDivergence = "stop",
        overwrite: bool = False,
        seed: int | None = None,
        sketches: bool = True,
        keep: Keep = None,
    ) -> None:
        options = RecordingOptions(
            overwrite=overwrite,
            reference=reference,
            on_divergence=on_divergence,
            every=every,
            sketches=sketches,
            keep=keep,
        )
        self._prepare((run_dir, options, seed), is_copy=False)

    @property
    def run_dir(self) -> Path:
        """The run folder."""
        return self.run.folder

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs: the settings, and the attributes of a derived class."""
        return {name: value for name, value in vars(self).items() if name not in self._not_copied}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Become a copy, which has recorded nothing."""
        self.__dict__.update(state)
        self._prepare(self._settings, is_copy=True)

    def _prepare(self, settings: tuple[Any, RecordingOptions, int | None], *, is_copy: bool) -> None:
        self._settings = settings
        copied = set(vars(self))
        run_dir, options, seed = settings
        super().__init__(RunRecorder(run_dir, options, coverage="sm", header={"seed": seed}, is_copy=is_copy))
        self._not_copied = frozenset(vars(self)) - copied | {"_not_copied"}
