"""`ReproducibleTrainer`: train a model with fixed seeds, batches and order.

>>> trainer = kr.ReproducibleTrainer(build_model, seed=42, batch_size=32)
>>> run = trainer.fit(x, y, epochs=3, run_dir="runs/a", verbose=0)
>>> run.fingerprint
'kr1-smo-...'
>>> trainer.verify(x, y, epochs=2).verdict
'identical'
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, get_args

import keras

from keras_repro.comparison.compare import compare_all
from keras_repro.comparison.result import Comparison
from keras_repro.determinism.portable_pins import (
    Determinism,
    check_machine,
    portable_switches,
)
from keras_repro.determinism.seeds import clear_and_seed, set_seeds
from keras_repro.determinism.switches import apply_switches
from keras_repro.errors import ReproError
from keras_repro.storage.run_folder import new_folder
from keras_repro.training.backends.active import backend
from keras_repro.training.data.order.ordered_pipeline import OrderPolicy
from keras_repro.training.data.order.permutation import SHUFFLES, Shuffle
from keras_repro.training.data.plans.plan import FitData
from keras_repro.training.data.plans.select_plan import plan_of
from keras_repro.training.portable.mode import PortableMode
from keras_repro.training.recording.recording_options import Every, Keep, OnDivergence, RecordingOptions
from keras_repro.training.resume.resume_options import OnSnapshotError, ResumeOptions, SnapshotEvery
from keras_repro.training.trainer.model_start import ModelStart, check_compiled
from keras_repro.training.trainer.result import Run
from keras_repro.training.trainer.trainer_fit import FitOptions, TrainerFit
from keras_repro.utils.arguments import one_of, whole_number

_FIT_ARGUMENTS = ("verbose", "validation_steps", "validation_batch_size", "validation_freq")
_FIXED_ARGUMENTS = ("batch_size", "shuffle")


class ReproducibleTrainer:
    """Train a model so that each `fit` is bit for bit the same training.

    Args:
        build_or_model: a function without arguments that returns a compiled model, called for each run after
            clear_session and seeding; or a compiled model, whose present weights are the initial weights of
            each run; or nothing in a subclass with `build_model`.
        seed: from 0 to `2**32 - 1`; every generator is set from it.
        batch_size: samples per step, also in `evaluate` and `predict`.
        shuffle: `"every_epoch"` (a new order in each epoch), `"once"` (one order for all) or `"none"`.
        switches: further switches to set, by their names in `keras-repro doctor`. `op_determinism` is set
            unless it is False here.
        determinism: `"bitwise"` (the same bits on this machine) or `"portable"` (also on other x86-64 CPUs
            with AVX2; docs/portable.md).
        strict: whether these are errors: a switch that is set too late; with `determinism="portable"`, a
            training step that is not portable; with `resume`, a step that cannot be resumed exactly.
            Otherwise they are warnings, or notes in the ledger.

    Raises:
        TypeError: an argument has an unsupported type.
        ValueError: an argument is out of range.
        SwitchError: a switch is set too late.

    The present weights of a live model are the initial weights of each run:

    >>> model = build_model()
    >>> trainer = kr.ReproducibleTrainer(model, seed=1, batch_size=16, shuffle="once")
    >>> first = trainer.fit(x, y, epochs=2, run_dir="runs/a", verbose=0)
    >>> second = trainer.fit(x, y, epochs=2, reference="runs/a", verbose=0)
    >>> first.fingerprint == second.fingerprint, second.divergence
    (True, None)
    """

    def __init__(
        self,
        build_or_model: Callable[[], keras.Model] | keras.Model | None = None,
        *,
        seed: int,
        batch_size: int,
        shuffle: Shuffle = "every_epoch",
        switches: Mapping[str, Any] | None = None,
        determinism: Determinism = "bitwise",
        strict: bool = True,
    ) -> None:
        self.seed = whole_number("seed", seed, least=0, most=2**32 - 1)
        self.batch_size = whole_number("batch_size", batch_size, least=1)
        one_of("shuffle", shuffle, SHUFFLES)
        self.shuffle: Shuffle = shuffle
        self.model: keras.Model | None = None
        one_of("determinism", determinism, get_args(Determinism))
        self._switches = {"op_determinism": True, **(switches or {})}
        self._mode: AbstractContextManager[Any] = nullcontext()
        if determinism == "portable":
            check_machine(strict=strict)
            self._switches = portable_switches() | self._switches
            self._mode = PortableMode(threads=self._switches["intra_op_threads"], strict=strict)
        self.determinism: Determinism = determinism
        self._strict = strict
        # The portable mode switches graph optimizers off during training only.
        in_mode = {"graph_optimizer"} - set(switches or ()) if determinism == "portable" else set()
        apply_switches({n: v for n, v in self._switches.items() if n not in in_mode}, strict=strict)
        self._start: ModelStart | None = None
        self._build: Callable[[], keras.Model] = self.build_model
        if isinstance(build_or_model, keras.Model):
            check_compiled(build_or_model, "the model")
            self.model = build_or_model
            self._start = ModelStart(build_or_model)
        elif callable(build_or_model):
            self._build = build_or_model
        elif build_or_model is not None:
            raise TypeError(
                "build_or_model must be a function that returns a compiled model, or a compiled model, "
                f"received {type(build_or_model).__name__}"
            )
        elif type(self).build_model is ReproducibleTrainer.build_model:
            raise TypeError("build_or_model is missing: pass a function or a model, or override build_model")

    def build_model(self) -> keras.Model:
        """Return a compiled model; subclasses override it."""
        raise ReproError(f"{type(self).__name__} has neither a builder nor build_model")

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        *,
        epochs: int = 1,
        run_dir: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        reference: str | os.PathLike[str] | None = None,
        on_divergence: OnDivergence = "stop",
        every: Every = "epoch",
        sketches: bool = True,
        keep: Keep = None,
        snapshot_every: SnapshotEvery | None = None,
        resume: bool = False,
        snapshots: int = 2,
        background: bool = False,
        on_snapshot_error: OnSnapshotError = "warn",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        **arguments: Any,
    ) -> Run:
        """Train from the initial state; a second call is a new run with the same fingerprint.

        Args:
            x: as for `Model.fit`. The trainer orders arrays, also nested ones, and the batches of a
                `PyDataset`; a `tf.data.Dataset` or generator is passed to Keras unchanged.
            y: as for `Model.fit`.
            epochs: as for `Model.fit`.
            run_dir: the run folder; by default a new one in `.keras_repro`.
            overwrite: whether a run in `run_dir` may be replaced.
            reference: a run to compare with while training.
            on_divergence: as for `DeterminismCallback`.
            every: as for `DeterminismCallback`; step records contain digests of the batch too.
            sketches: as for `DeterminismCallback`.
            keep: as for `DeterminismCallback`.
            snapshot_every: `"epoch"`, or a number of steps: how often a snapshot of the whole state is
                written, from which an interrupted run can be resumed. None: none, or `"epoch"` with `resume`.
            resume: whether to continue the run in `run_dir`, with the fingerprint, weights and history of an
                uninterrupted run. If there is no run, it begins; if the run is finished, its result is
                returned. SIGTERM, SIGHUP and SIGINT then end the current step and write a snapshot.
            snapshots: how many of the newest snapshots are kept, from 1.
            background: whether training continues while a snapshot is written.
            on_snapshot_error: `"warn"` continues training if a snapshot cannot be written, for example on a
                full disk; `"raise"` stops it. Older snapshots are kept in both cases.
            callbacks: as for `Model.fit`; ours are called after them.
            validation_split: as for `Model.fit`.
            validation_data: as for `Model.fit`.
            class_weight: as for `Model.fit`.
            sample_weight: as for `Model.fit`.
            initial_epoch: as for `Model.fit`; the order is that of this epoch.
            steps_per_epoch: as for `Model.fit`.
            arguments: `verbose`, `validation_steps`, `validation_batch_size`, `validation_freq`.

        Returns:
            The run.

        Raises:
            TypeError: an argument is unknown or fixed by the trainer; or the run cannot be resumed with this
                data.
            ValueError: an argument is out of range.
            RunFolderError: the run folder contains a run already, or another process uses it.
            ResumeError: the training differs from the one to be resumed.
            SnapshotError: a snapshot cannot be written and `on_snapshot_error` is `"raise"`.
            DivergenceError: the run diverged from the reference and `on_divergence` is `"raise"`.
        """
        for name in arguments:
            if name in _FIXED_ARGUMENTS:
                raise TypeError(f"{name} is fixed by the trainer: pass it to ReproducibleTrainer, not to fit")
            if name not in _FIT_ARGUMENTS:
                raise TypeError(f"fit got an unexpected argument {name!r}")
        recording = RecordingOptions(
            overwrite=overwrite,
            reference=reference,
            on_divergence=on_divergence,
            every=every,
            batches=True,
            sketches=sketches,
            keep=keep,
        )
        if steps_per_epoch is not None:
            steps_per_epoch = whole_number("steps_per_epoch", steps_per_epoch, least=1)
        if not 0 <= (validation_split or 0) < 1:
            raise ValueError(
                f"validation_split must be a share from 0 to less than 1, received {validation_split!r}"
            )
        if validation_split and validation_data is None:
            split = backend.data_adapters.split_off_validation((x, y, sample_weight), validation_split)
            (x, y, sample_weight), validation_data = split
        data = FitData(
            x=x,
            y=y,
            sample_weight=sample_weight,
            class_weight=class_weight,
            steps_per_epoch=steps_per_epoch,
            validation_data=validation_data,
        )
        options = FitOptions(
            epochs=whole_number("epochs", epochs, least=0),
            initial_epoch=whole_number("initial_epoch", initial_epoch, least=0),
            run_dir=run_dir,
            recording=recording,
            resume=ResumeOptions(
                snapshot_every=snapshot_every,
                resume=resume,
                snapshots=snapshots,
                background=background,
                on_snapshot_error=on_snapshot_error,
            ),
            callbacks=callbacks,
            others=arguments,
        )
        policy = OrderPolicy(seed=self.seed, batch_size=self.batch_size, shuffle=self.shuffle)
        fit = TrainerFit(
            data,
            plan_of(data, policy),
            options,
            batch_size=self.batch_size,
            header=self._header(),
            fresh_model=self._fresh_model,
            start=self._start,
            strict=self._strict,
        )
        with self._mode:
            return fit.run()

    def evaluate(self, x: Any = None, y: Any = None, **arguments: Any) -> Any:
        """Call `Model.evaluate` of the trained model with the trainer's batch size."""
        with self._mode:
            return self._trained("evaluate").evaluate(x, y, **self._with_batch_size(x, arguments))

    def predict(self, x: Any, **arguments: Any) -> Any:
        """Call `Model.predict` of the trained model with the trainer's batch size."""
        with self._mode:
            return self._trained("predict").predict(x, **self._with_batch_size(x, arguments))

    def verify(
        self,
        x: Any = None,
        y: Any = None,
        *,
        runs: int = 3,
        run_dir: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        **arguments: Any,
    ) -> Comparison:
        """Train several times in this process and compare the runs: a quick check, also in notebooks.

        It does not detect differences between processes, such as the order of sets; use
        `keras-repro verify SCRIPT` for these.

        Args:
            x: as for `fit`.
            y: as for `fit`.
            runs: number of trainings, from 2.
            run_dir: folder for the run folders `run-1`, `run-2`, ...; by default a new one in `.keras_repro`.
            overwrite: whether existing runs may be replaced.
            arguments: further arguments of `fit`.

        Returns:
            The comparison of all runs with the first.
        """
        runs = whole_number("runs", runs, least=2)
        folder = new_folder("verify") if run_dir is None else Path(run_dir)
        arguments.setdefault("verbose", 0)
        finished = [
            self.fit(x, y, run_dir=folder / f"run-{n + 1}", overwrite=overwrite, **arguments)
            for n in range(runs)
        ]
        return compare_all([run.ledger for run in finished], same_script=True)

    def _fresh_model(self, first_batch: Callable[[], Any]) -> keras.Model:
        if self._start is not None:
            set_seeds(self.seed)
            self._start.restore(self.seed, first_batch)
            return self._start.model
        clear_and_seed(self.seed)
        model = self._build()
        if not isinstance(model, keras.Model):
            raise TypeError(f"the builder must return a keras.Model, returned {type(model).__name__}")
        check_compiled(model, "the model that the builder returns")
        self.model = model
        return model

    def _trained(self, verb: str) -> keras.Model:
        if self.model is None:
            raise ReproError(f"nothing to {verb}: call fit first")
        return self.model

    def _with_batch_size(self, x: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        if "batch_size" in arguments:
            raise TypeError("batch_size is fixed by the trainer")
        return arguments | ({"batch_size": self.batch_size} if backend.data_adapters.is_array_like(x) else {})

    def _header(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "policies": {"batch_size": self.batch_size, "shuffle": self.shuffle},
            "requested": self._switches,
            "determinism": self.determinism,
        }
