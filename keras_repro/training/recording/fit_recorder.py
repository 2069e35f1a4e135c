"""`FitRecorder`: record the start, the epochs and the end of one fit, each with the complete state."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_repro.determinism.seeds import process_generators
from keras_repro.ledger.schema import Record, StepRecord, plain_number
from keras_repro.storage.digest import array_digest
from keras_repro.training.backends.active import backend
from keras_repro.training.graph.captured import captured_variables
from keras_repro.training.recording.recorded_part import RecordedPart
from keras_repro.training.recording.run_recorder import state_record
from keras_repro.training.recording.sketch_recorder import SketchedWeights
from keras_repro.training.state import initial_values
from keras_repro.training.state.digests import StateDigests, digests_of, log_digests, shape_of
from keras_repro.training.state.fast_reader import StateReader
from keras_repro.training.state.model_config import model_configuration
from keras_repro.training.state.walk import StateTensor, StateWalk, same_tensors

_STATE_SECTIONS = ("weights", "optimizer")
# In the chain only once they moved; then with their state at the start.
_ONCE_MOVED = {"seeds": "seeds", "captured": "captured variables"}  # the group of those that did not move


class FitRecorder:
    """Record one fit of a run: start, epochs, end.

    Args:
        part: the part of the run that the fit becomes.
        models: a model, or a dict of models by name.
        optimizers: optimizers that belong to no model.
        order: returns the digest of an epoch's data order; None if the order is not ours.
        created_during_fit: returns whether a variable counts as created by the first epoch although it
            exists already; None for none.
        steps: whether steps will be recorded too.

    Attributes:
        part: the part of the run.
        number: the number of the fit in its run.
        ended: whether the end is recorded.
        last_digests: digests by section and name in the last record.
    """

    def __init__(
        self,
        part: RecordedPart,
        models: Any,
        optimizers: Any = (),
        *,
        order: Callable[[int], str] | None = None,
        created_during_fit: Callable[[Any], bool] | None = None,
        steps: bool = False,
    ) -> None:
        self.part = part
        self.number = part.begin_fit()
        self.ended = False
        self.last_digests: dict[str, dict[str, str]] = {}
        self._initial = initial_values.start()
        self._models, self._optimizers = models, optimizers
        self._order = order
        self._created_during_fit = created_during_fit
        self._described: set[str] = set()
        self._starts: dict[str, str] = {}
        self._moved: set[str] = set()
        self._captured: tuple[StateTensor, ...] = ()
        self._walk = StateWalk(models, optimizers)
        self._epochs = self._steps = 0
        self._reader = StateReader(models, optimizers) if steps else None
        self._digests = StateDigests(())
        self._sketched = SketchedWeights(())

    def start(self, **details: Any) -> None:
        """Record the fit and its initial state.

        Args:
            details: further fields of the `fit` record, such as `data` and `arguments`.
        """
        models = self._models if isinstance(self._models, Mapping) else {"": self._models}
        configuration = {n: model_configuration(m) for n, m in models.items()}
        details.setdefault("seeds_set", backend.random_state.seeds_set())
        details["models"] = [self.part.number_of(m) for m in models.values()]
        self.part.append(
            Record(
                kind="fit",
                fit=self.number,
                sections={"fit": array_digest("fit", self.number)},
                extra={"configuration": configuration.get("", configuration), **details},
            )
        )
        self._record("start", latent={"process generators": process_generators()})

    def trace(self, graph: Any) -> None:
        """Add the variables that the traced step captures and no model tracks, before its first run."""
        self._captured = captured_variables(graph, self._walk.tensors())
        for name, digest in digests_of(self._captured).get("captured", {}).items():
            self._starts.setdefault(name, digest)

    def epoch(
        self,
        epoch: int,
        metrics: Mapping[str, Any],
        *,
        added: Mapping[str, Any] | None = None,
        **details: Any,
    ) -> None:
        """Record the state after an epoch.

        Args:
            epoch: the epoch's index from 0.
            metrics: the model's own logs.
            added: logs added by callbacks.
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
    ) -> None:
        """Record the state after a step; not part of the chain.

        Args:
            epoch: the epoch's index from 0.
            step: the step's index within the epoch, from 0.
            loss: the loss as a number, or None.
            batch: digests of the step's batch, None if unknown.
        """
        if self._reader is None:
            self._reader = StateReader(self._models, self._optimizers)
        elif self._steps == 0:
            self._reader.refresh()  # The first step may have created variables.
        self._steps += 1
        is_plain = loss is None or (type(loss) is float and math.isfinite(loss))
        self.part.append_step(
            StepRecord(
                fit=self.number,
                epoch=epoch,
                step=step,
                loss=loss if is_plain else plain_number(loss),
                state=self._reader.digests(all_seeds=False),
                batch=batch or {},
            )
        )

    def end(self, status: str = "finished", **details: Any) -> None:
        """Record the final state of the fit. Idempotent."""
        if self.ended:
            return
        self.ended = True
        try:
            latent = {"process generators": process_generators()}
            self._record("end", latent=latent, status=status, **details)
        finally:
            self.release()

    def end_without_record(self) -> None:
        """End a fit whose end is recorded already."""
        self.ended = True
        self.release()

    def state(self) -> dict[str, Any]:
        """Return what another process needs to continue these records, for JSON."""
        new = [t for t in self._walk.tensors(full=self._epochs < 2) if t.name not in self._described]
        digests = {t.name: self._initial.digest(t.variable) for t in new}
        return {
            "described": sorted(self._described),
            "starts": self._starts,
            "moved": sorted(self._moved),
            "epochs": self._epochs,
            "born": {name: digest.hex() for name, digest in digests.items() if digest is not None},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the result of `state`; the model's state must be restored before."""
        self._described = set(state["described"])
        self._starts = dict(state["starts"])
        self._moved = set(state["moved"])
        self._epochs = int(state["epochs"])
        self._initial.forget()
        for tensor in self._walk.tensors():
            if tensor.name in state["born"]:
                self._initial.adopt(tensor.variable, bytes.fromhex(state["born"][tensor.name]))

    def release(self) -> None:
        """Stop watching for new variables, and drop all references to the model's."""
        initial_values.stop(self._initial)
        self._initial.forget()
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
        # The first step may create variables that no attribute holds; later ones are found at the end.
        full_walk = kind != "epoch" or self._epochs < 2
        self._epochs += kind == "epoch"
        state: Sequence[StateTensor] = self._walk.tensors(full=full_walk)
        if self._captured:
            state = [*state, *self._captured]
        if kind == "start" and self._created_during_fit is not None:
            for tensor in state:
                if self._created_during_fit(tensor.variable):
                    self._initial.record(tensor.variable)
            state = [t for t in state if not self._created_during_fit(t.variable)]
        new = [t for t in state if t.name not in self._described]
        if kind != "start":
            self._record_initial_values(new, epoch)
        if self._reader is not None:
            self._reader.set_tensors(state)
        if not same_tensors(self._digests.tensors, state):
            self._digests, self._sketched = StateDigests(state), SketchedWeights(state)
        digests = self._digests.digests()
        tensors = {s: digests[s] for s in _STATE_SECTIONS if digests.get(s)}
        all_latent: dict[str, Mapping[str, str]] = {}
        for section, group in _ONCE_MOVED.items():
            tensors[section], all_latent[group] = self._moved_and_latent(digests.get(section, {}))
        if epoch is not None and self._order is not None:
            tensors["order"] = {"order": self._order(epoch)}
        if metrics:
            tensors["metrics"] = log_digests(dict(metrics))
        all_latent |= {"metric variables": digests.get("metrics", {}), **(latent or {})}
        record = state_record(
            kind,
            {section: by_name for section, by_name in tensors.items() if by_name},
            fit=self.number,
            epoch=epoch,
            latent={group: by_name for group, by_name in all_latent.items() if by_name},
            metrics={n: plain_number(v) for n, v in (metrics or {}).items()},
            added={n: plain_number(v) for n, v in (added or {}).items()},
            shapes={t.name: shape_of(t) for t in new},
            extra=details,
        )
        self.part.append(record, state, self._sketched)
        self._described.update(t.name for t in new)
        self.last_digests = {section: tensors[section] for section in _STATE_SECTIONS if section in tensors}

    def _moved_and_latent(self, digests: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """Return the digests of what has moved since the start, its start included, and those of the rest."""
        for name, digest in digests.items():
            if self._starts.setdefault(name, digest) != digest:
                self._moved.add(name)
        moved = {n: d for n, d in digests.items() if n in self._moved}
        starts = {f"{n} at the start": self._starts[n] for n in moved}
        return moved | starts, {n: d for n, d in digests.items() if n not in moved}

    def _record_initial_values(self, new: list[StateTensor], epoch: int | None) -> None:
        """Record the initial values of the variables that were created since the last record."""
        digests = self._initial.digests_of(new)
        self._initial.forget()
        self._starts |= digests.get("seeds", {})
        tensors = {section: digests[section] for section in _STATE_SECTIONS if section in digests}
        if tensors:
            shapes = {t.name: shape_of(t) for t in new if t.name in tensors.get(t.section, {})}
            self.part.append(state_record("birth", tensors, fit=self.number, epoch=epoch, shapes=shapes))
