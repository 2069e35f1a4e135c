"""One fit of a run: its start, its epochs, its end, each with the complete state."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_repro.determinism.seeds import process_generators
from keras_repro.ledger.schema import Record, StepRecord, plain_number
from keras_repro.storage.digest import array_digest, section_digest
from keras_repro.training.backends.active import backend
from keras_repro.training.recording.run_recorder import RunRecorder
from keras_repro.training.recording.sketch_recorder import SketchedWeights
from keras_repro.training.state import initial_values
from keras_repro.training.state.digests import StateDigests, digest_with, log_digests, shape_of
from keras_repro.training.state.fast_reader import StateReader
from keras_repro.training.state.model_config import model_configuration
from keras_repro.training.state.walk import StateTensor, StateWalk, same_tensors

_STATE_SECTIONS = ("weights", "optimizer")


class FitRecorder:
    """One fit of a run: start, epochs, end.

    Args:
        run: the run that it belongs to.
        models: a model, or a dict of them by name.
        optimizers: those that no model holds.
        order: gives the digest of the data order of an epoch, where the order is ours.
        unborn: whether a variable counts as one that the first epoch makes, though it is there already.
        steps: whether steps will be recorded too.
    """

    def __init__(
        self,
        run: RunRecorder,
        models: Any,
        optimizers: Any = (),
        *,
        order: Callable[[int], str] | None = None,
        unborn: Callable[[Any], bool] | None = None,
        steps: bool = False,
    ) -> None:
        self.run = run
        self.number = run.next_fit()
        self.births = initial_values.start()
        self._models, self._optimizers = models, optimizers
        self._order = order
        self._unborn = unborn
        self._described: set[str] = set()
        self._seed_starts: dict[str, str] = {}
        self._moved: set[str] = set()
        self._walk = StateWalk(models, optimizers)
        self._epochs = self._steps = 0
        self._reader = StateReader(models, optimizers) if steps else None
        self._digests = StateDigests(())
        self._sketched = SketchedWeights(())
        self.ended = False
        self.last: dict[str, dict[str, str]] = {}

    def start(self, **details: Any) -> None:
        """Records the fit and the state that it starts from.

        Args:
            details: what the `fit` record says beside its configuration, such as `data` and `arguments`.
        """
        named = self._models if isinstance(self._models, Mapping) else {"": self._models}
        configuration = {n: model_configuration(m) for n, m in named.items()}
        details.setdefault("seeds_set", backend.random_state.seeds_set())
        details["models"] = [self.run.number_of(m) for m in named.values()]
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

    def step(
        self,
        epoch: int,
        step: int,
        loss: Any = None,
        *,
        batch: Mapping[str, str] | None = None,
        **details: Any,
    ) -> None:
        """Records the state after a step; no part of the chain.

        Args:
            epoch: its epoch's index from 0.
            step: its index within the epoch, from 0.
            loss: as a number, None where there is none.
            batch: digests of the batch that went in, where it was seen.
            details: further fields.
        """
        if self._reader is None:
            self._reader = StateReader(self._models, self._optimizers)
        elif self._steps == 0:
            self._reader.refresh()  # the first step may have made variables
        self._steps += 1
        finite = loss is None or (type(loss) is float and math.isfinite(loss))
        number = loss if finite else plain_number(loss)
        state = self._reader.digests(all_seeds=False)
        self.run.append_step(
            StepRecord(
                fit=self.number,
                epoch=epoch,
                step=step,
                loss=number,
                state=state,
                batch=batch or {},
                extra=details,
            )
        )

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

    def leave(self) -> None:
        """Ends without a record: its end is recorded already."""
        self.ended = True
        self.release()

    def kept(self) -> dict[str, Any]:
        """What has to be known of the records so far to go on with them in another process, for JSON."""
        new = [t for t in self._walk.tensors(ask=self._epochs < 2) if t.name not in self._described]
        contents = {t.name: self.births.content(t.variable) for t in new}
        return {
            "described": sorted(self._described),
            "seed_starts": self._seed_starts,
            "moved": sorted(self._moved),
            "epochs": self._epochs,
            "born": {name: content.hex() for name, content in contents.items() if content is not None},
        }

    def go_on(self, kept: Mapping[str, Any]) -> None:
        """Goes on where `kept` was asked for, once the state is as it was."""
        self._described = set(kept["described"])
        self._seed_starts = dict(kept["seed_starts"])
        self._moved = set(kept["moved"])
        self._epochs = int(kept["epochs"])
        self.births.forget()
        for tensor in self._walk.tensors():
            if tensor.name in kept["born"]:
                self.births.take_over(tensor.variable, bytes.fromhex(kept["born"][tensor.name]))

    def release(self) -> None:
        """Stops watching for new variables."""
        initial_values.stop(self.births)
        self.births.forget()
        self._walk.forget()
        self._digests, self._sketched, self._reader = StateDigests(()), SketchedWeights(()), None

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
        # The first step may make variables in hiding; what comes later is seen at the end.
        ask = kind != "epoch" or self._epochs < 2
        self._epochs += kind == "epoch"
        state: Sequence[StateTensor] = self._walk.tensors(ask=ask)
        if kind == "start" and self._unborn is not None:
            for tensor in state:
                if self._unborn(tensor.variable):
                    self.births.note(tensor.variable)
            state = [t for t in state if not self._unborn(t.variable)]
        new = [t for t in state if t.name not in self._described]
        if kind != "start":
            self._record_births(new, epoch)
        if self._reader is not None:
            self._reader.take(state)
        if not same_tensors(self._digests.tensors, state):
            self._digests, self._sketched = StateDigests(state), SketchedWeights(state)
        digests = self._digests.digests()
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
        record = Record(
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
        if self.run.broken is None:
            # Before the record: where runs are compared live, that may end this process.
            record = self.run.beside.add(record, state, self._sketched)
        self.run.append(record)
        self._described.update(t.name for t in new)
        self.last = {section: tensors[section] for section in _STATE_SECTIONS if section in tensors}

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
