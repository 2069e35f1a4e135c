"""Records a training into a ledger: state, metrics and what else a run is made of.

`Recorder` is for loops written by hand; `DeterminismCallback` and the launcher stand on the same classes.

    models = {"g": generator, "d": discriminator}
    with kr.Recorder("runs/gan", model=models, optimizers=[g_opt, d_opt]) as recorder:
        for epoch in range(10):
            ...                                   # your own steps
            recorder.epoch({"d_loss": d_loss, "g_loss": g_loss})
    recorder.fingerprint
"""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import keras_repro
from keras_repro.control.seeds import process_generators
from keras_repro.control.switches import read_switches
from keras_repro.errors import LedgerError, ReproError
from keras_repro.record.digest import array_digest, section_digest
from keras_repro.record.environment import gather
from keras_repro.record.folders import make_run_folder, redirected
from keras_repro.record.ledger import Ledger
from keras_repro.record.public import public_arguments, public_path
from keras_repro.record.schema import Header, Mode, Record, plain_number
from keras_repro.training import births, keras_api
from keras_repro.training.configuration import model_configuration
from keras_repro.training.state import StateTensor, model_state
from keras_repro.training.values import digest_with, digests_of, log_digests, shape_of

_STATE_SECTIONS = ("weights", "optimizer")


class RunRecorder:
    """One run folder: its ledger, opened at the first record, and the count of its fits.

    Args:
        run_dir: the run folder.
        coverage: letters of `record.schema.COVERAGE`.
        overwrite: whether a run that is there may be replaced.
        listener: is given each record as it was written.
        details: further fields of the header, such as `command`, `seed`, `policies`.
        redirect: whether `redirect_runs` concerns it.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        *,
        coverage: str,
        mode: Mode = "observed",
        overwrite: bool = False,
        listener: Callable[[Record], None] | None = None,
        details: Mapping[str, Any] | None = None,
        redirect: bool = True,
    ) -> None:
        where = redirected(run_dir) if redirect else run_dir
        self.folder: Path = make_run_folder(where, overwrite=overwrite)
        self.coverage = coverage
        self.mode: Mode = mode
        self.fits = 0
        self.broken: str | None = None
        self.listener = listener
        self._overwrite = overwrite
        self._details = dict(details or {})
        self._ledger: Ledger | None = None

    @property
    def ledger(self) -> Ledger:
        """The open ledger; made with its header on first use."""
        if self._ledger is None:
            header = self._header()
            self._ledger = Ledger.create(self.folder, header, overwrite=self._overwrite)
        return self._ledger

    @property
    def started(self) -> bool:
        """Whether the ledger is there."""
        return self._ledger is not None

    def append(self, record: Record) -> Record | None:
        """Writes a record. A disk that fills up ends the recording with a warning, not the training."""
        if self.broken is not None:
            return None
        first = self._ledger is None
        try:
            written = self.ledger.append(record)
        except LedgerError as error:
            if first or record.kind in ("fit", "start"):
                raise  # nothing is lost yet
            self.broken = f"recording ended at {record.position}: {error}"
            warnings.warn(f"keras_repro: {self.broken}; the training goes on", stacklevel=2)
            return None
        if self.listener is not None:
            self.listener(written)
        return written

    def fingerprint(self, *, partial: bool = False) -> str:
        """The fingerprint so far."""
        return self.ledger.fingerprint(partial=partial or self.broken is not None)

    def close(self) -> None:
        """Waits for the disk and closes the ledger."""
        if self._ledger is not None:
            # Where the writing failed, this may too: that was said already.
            with contextlib.suppress(*([OSError] if self.broken else [])):
                self._ledger.sync()
            with contextlib.suppress(*([OSError] if self.broken else [])):
                self._ledger.close()

    def _header(self) -> Header:
        self._details.setdefault("command", _this_command())
        environment = dict(gather(_folder_of_script()))
        environment["frameworks"] = keras_api.versions()
        readings = read_switches(self._details.pop("requested", None))
        return Header(
            mode=self.mode,
            coverage=self.coverage,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            version=keras_repro.__version__,
            environment=environment,
            switches=tuple(r.to_dict() for r in readings),
            **self._details,
        )


def _this_command() -> dict[str, Any]:
    """The command that runs this process, as it may be published; empty in a notebook."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if script is None:
        return {}
    return published_command(script, None, sys.argv[1:])


def published_command(script: str | None, module: str | None, arguments: Sequence[str]) -> dict[str, Any]:
    """A command as it may stand in a ledger."""
    shown, hidden = public_arguments(arguments)
    path = None if script is None else public_path(script)
    return {"script": path, "module": module, "arguments": shown, "hidden": hidden}


def _folder_of_script() -> Path:
    """The folder whose git commit the run belongs to."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path.cwd() if script is None else Path(script).resolve().parent


class FitRecorder:
    """One fit of a run: start, epochs, end.

    Args:
        run: the run that it belongs to.
        models: a model, or a dict of them by name.
        optimizers: those that no model holds.
        order: gives the digest of the data order of an epoch, where the order is ours.
        unborn: whether a variable counts as one that the first epoch makes, though it is there already.
    """

    def __init__(
        self,
        run: RunRecorder,
        models: Any,
        optimizers: Any = (),
        *,
        order: Callable[[int], str] | None = None,
        unborn: Callable[[Any], bool] | None = None,
    ) -> None:
        self.run = run
        self.number = run.fits
        self.births = births.start()
        self._models, self._optimizers = models, optimizers
        self._order = order
        self._unborn = unborn
        self._described: set[str] = set()
        self._seed_starts: dict[str, str] = {}
        self._moved: set[str] = set()
        self.ended = False
        run.fits += 1

    def start(self, **details: Any) -> None:
        """Records the fit and the state that it starts from.

        Args:
            details: what the `fit` record says beside its configuration, such as `data` and `arguments`.
        """
        named = self._models if isinstance(self._models, Mapping) else {"": self._models}
        configuration = {n: model_configuration(m) for n, m in named.items()}
        details.setdefault("seeds_set", keras_api.seeds_set())
        self.run.append(
            Record(
                kind="fit",
                fit=self.number,
                sections={"fit": array_digest("fit", self.number)},
                extra={"configuration": configuration.get("", configuration), **details},
            )
        )
        self._record("start", latent={"process generators": process_generators()})

    def epoch(
        self,
        epoch: int,
        metrics: Mapping[str, Any],
        *,
        added: Mapping[str, Any] | None = None,
        **details: Any,
    ) -> None:
        """Records the state after an epoch.

        Args:
            epoch: its index from 0.
            metrics: the model's own logs.
            added: what callbacks put into the logs beside them.
            details: further fields, such as `seconds`.
        """
        self._record("epoch", epoch=epoch, metrics=metrics, added=added or {}, **details)

    def end(self, status: str = "finished", **details: Any) -> None:
        """Records the state that the fit leaves behind; a second call does nothing."""
        if self.ended:
            return
        self.ended = True
        try:
            self._record(
                "end",
                latent={"process generators": process_generators()},
                status=status,
                **details,
            )
        finally:
            self.release()

    def release(self) -> None:
        """Stops watching for new variables."""
        births.stop(self.births)
        self.births.forget()

    def _record(
        self,
        kind: str,
        *,
        epoch: int | None = None,
        metrics: Mapping[str, Any] | None = None,
        added: Mapping[str, Any] | None = None,
        latent: Mapping[str, Mapping[str, str]] | None = None,
        **details: Any,
    ) -> None:
        state = model_state(self._models, self._optimizers)
        if kind == "start" and self._unborn is not None:
            for tensor in state:
                if self._unborn(tensor.variable):
                    self.births.note(tensor.variable)
            state = [t for t in state if not self._unborn(t.variable)]
        new = [t for t in state if t.name not in self._described]
        if kind != "start":
            self._record_births(new, epoch)
        digests = digests_of(state)
        seeds = digests.pop("seeds", {})
        for name, digest in seeds.items():
            if self._seed_starts.setdefault(name, digest) != digest:
                self._moved.add(name)
        tensors = {s: digests[s] for s in _STATE_SECTIONS if digests.get(s)}
        tensors["seeds"] = {n: d for n, d in seeds.items() if n in self._moved} | {
            f"{n} at the start": self._seed_starts[n] for n in seeds if n in self._moved
        }
        if epoch is not None and self._order is not None:
            tensors["order"] = {"order": self._order(epoch)}
        if metrics:
            tensors["metrics"] = log_digests(dict(metrics))
        tensors = {section: held for section, held in tensors.items() if held}
        still = {n: d for n, d in seeds.items() if n not in self._moved}
        quiet = {"seeds": still, "metric variables": digests.get("metrics", {}), **(latent or {})}
        self.run.append(
            Record(
                kind=kind,
                fit=self.number,
                epoch=epoch,
                sections={name: section_digest(held) for name, held in tensors.items()},
                tensors=tensors,
                latent={group: held for group, held in quiet.items() if held},
                metrics={n: plain_number(v) for n, v in (metrics or {}).items()},
                added={n: plain_number(v) for n, v in (added or {}).items()},
                shapes={t.name: shape_of(t) for t in new},
                extra=details,
            )
        )
        self._described.update(t.name for t in new)

    def _record_births(self, new: list[StateTensor], epoch: int | None) -> None:
        """Records variables that were made since the last record at the value that they were born with."""
        born: dict[str, dict[str, str]] = {}
        for tensor in new:
            content = self.births.content(tensor.variable)
            if content is None:
                continue
            digest = digest_with(tensor, content)
            if tensor.section == "seeds":
                self._seed_starts[tensor.name] = digest
            elif tensor.section in _STATE_SECTIONS:
                born.setdefault(tensor.section, {})[tensor.name] = digest
        self.births.forget()
        if born:
            self.run.append(
                Record(
                    kind="birth",
                    fit=self.number,
                    epoch=epoch,
                    sections={name: section_digest(held) for name, held in born.items()},
                    tensors=born,
                    shapes={t.name: shape_of(t) for t in new if t.name in born.get(t.section, {})},
                )
            )


class Recorder:
    """Records a training loop written by hand (GradientTape, `train_on_batch`).

    Args:
        run_dir: the run folder.
        model: the model, or a dict of models by name.
        optimizers: optimizers that no model holds; a list, or a dict by name.
        overwrite: whether a run that is there may be replaced.
        seed: the seed that you set, for the report.

    Raises:
        RunFolderError: the folder holds a run already, or cannot be made.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        *,
        model: Any,
        optimizers: Any = (),
        overwrite: bool = False,
        seed: int | None = None,
    ) -> None:
        self._run = RunRecorder(run_dir, coverage="sm", overwrite=overwrite, details={"seed": seed})
        self._fit = FitRecorder(self._run, model, optimizers)
        self._next_epoch = 0
        self._began: float | None = None

    @property
    def run_dir(self) -> Path:
        """The run folder."""
        return self._run.folder

    @property
    def fingerprint(self) -> str:
        """The fingerprint of what was recorded so far, `-partial` until `end`."""
        return self._run.fingerprint(partial=not self._fit.ended)

    def start(self) -> None:
        """Records the state that the training starts from; entering a `with` block does it."""
        if self._began is not None:
            return
        self._fit.start(arguments={}, data={"kind": "not seen", "order": "not ours"})
        self._began = time.perf_counter()

    def epoch(self, metrics: Mapping[str, Any] | None = None, *, epoch: int | None = None) -> None:
        """Records the state after an epoch.

        Args:
            metrics: numbers to record with it, such as `{"loss": 0.3}`.
            epoch: its index; by default one more than the last.

        Raises:
            ReproError: the recorder has ended.
        """
        if self._fit.ended:
            raise ReproError(f"the recorder of {self.run_dir} has ended: make another for another training")
        if self._began is None:
            self.start()
        index = self._next_epoch if epoch is None else epoch
        now = time.perf_counter()
        self._fit.epoch(index, metrics or {}, seconds=now - (self._began or now))
        self._began = now
        self._next_epoch = index + 1

    def end(self, status: str = "finished") -> None:
        """Records the final state and closes the ledger; leaving a `with` block does it."""
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
