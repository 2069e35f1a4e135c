"""The lines of a ledger as frozen values: one `Header`, then `Record`s.

    >>> record = Record(kind="epoch", fit=0, epoch=3, sections={"weights": "00ff"}, metrics={"loss": 0.5})
    >>> Record.from_dict(record.to_dict()) == record
    True
    >>> record.position
    'epoch 0 3'

`docs/ledger.md` describes the format for readers in other languages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from keras_repro.errors import LedgerError

FORMAT = 1

Mode = Literal["observed", "enforced"]
Determinism = Literal["bitwise", "portable"]

# What a chain can commit to; a fingerprint names the letters of those that its recorder could see.
COVERAGE = {
    "s": "state at each fit's start, after each epoch and at its end",
    "m": "the model's own metrics",
    "o": "order of the training data",
    "r": "results computed outside fit: evaluate, predict, train_on_batch, state at exit",
}

ENDS = ("end", "exit")  # kinds of records that end a fit, or a launched run

CHAINED_KINDS = (
    "fit",
    "start",
    "birth",
    "epoch",
    "end",
    "evaluation",
    "prediction",
    "loop",
    "exit",
)


@dataclass(frozen=True, kw_only=True)
class Header:
    """The first line of a ledger: the run's surroundings. No digest of the chain depends on it.

    Attributes:
        mode: `"observed"` (run as it is) or `"enforced"` (every switch pinned before Python starts).
        determinism: `"bitwise"` (meant to repeat on this machine) or `"portable"` (on other x86-64 CPUs too).
        coverage: the letters of `COVERAGE` that the run's chain commits to.
        environment: what `record.environment.gather` returned.
        switches: each switch as a dict with `name`, `requested`, `achieved`, `ok` and `fix`.
        algorithm: the hash of the chain and of all digests in it.
        step_algorithm: the hash of step records; empty in ledgers from before there were any.
        command: `script`, `module`, `arguments` (as published) and `hidden`, the number left out.
        seed: the run's seed where keras_repro set it, else None.
        policies: batch size, shuffle policy and caps, where keras_repro set them.
        extra: keys that this version does not know.
    """

    mode: Mode = "observed"
    determinism: Determinism = "bitwise"
    coverage: str = "sm"
    created: str = ""
    version: str = ""
    algorithm: str = "blake3"
    step_algorithm: str = "xxh3-128"
    format: int = FORMAT
    environment: Mapping[str, Any] = field(default_factory=dict)
    switches: tuple[Mapping[str, Any], ...] = ()
    command: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    policies: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The header as it stands in the ledger, without its line check."""
        known = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        known["switches"] = [dict(s) for s in self.switches]
        return {"kind": "header", **known, **self.extra}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Header:
        """Reads a header back.

        Raises:
            LedgerError: the data is no header, or a newer keras_repro wrote it.
        """
        if data.get("kind") != "header" or type(data.get("format")) is not int:
            raise LedgerError("it does not start with a header of keras_repro")
        if data["format"] > FORMAT:
            raise LedgerError(
                f"it has format {data['format']}, this keras_repro reads up to {FORMAT}; "
                "upgrade keras_repro to read it"
            )
        known, extra = _split(cls, data)
        _check_type("switches", known.get("switches", []), list | tuple)
        known["switches"] = tuple(known.get("switches", ()))
        known.setdefault("step_algorithm", "")
        header = cls(**known, extra=extra)
        for name in ("mode", "determinism", "coverage", "algorithm", "step_algorithm", "created", "version"):
            _check_type(name, getattr(header, name), str)
        for name in ("environment", "command", "policies"):
            _check_type(name, getattr(header, name), Mapping)
        for reading in header.switches:
            _check_type("switches", reading, Mapping)
        if not (header.coverage.isascii() and header.coverage.isalpha()):
            raise LedgerError("its field 'coverage' has other characters than letters")
        return header


@dataclass(frozen=True, kw_only=True)
class Record:
    """One line of a ledger after the header.

    Attributes:
        kind: one of `CHAINED_KINDS`, or a kind of a newer keras_repro.
        fit: number of the `fit` call, from 0; None outside fit.
        epoch: epoch index from 0, of epochs (and of variables born in one).
        index: number of the evaluation, prediction or loop, from 0.
        sections: section digests by name; with the position, all that the chain commits to.
        tensors: digests by section and tensor name, in the structure's order.
        latent: digests by group and name: recorded, compared, and noted; not in the chain.
        metrics: the model's own logs as numbers.
        added: what callbacks added to the logs.
        shapes: `[dtype, shape, name that Keras gives]` of each tensor that was not described before.
        link: the chain's link after this record, 64 hexadecimal digits; empty until it is written.
        extra: what only this kind has (`configuration`, `data`, `status`, `seconds`, ...).
    """

    kind: str
    fit: int | None = None
    epoch: int | None = None
    index: int | None = None
    sections: Mapping[str, str] = field(default_factory=dict)
    tensors: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    latent: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    added: Mapping[str, Any] = field(default_factory=dict)
    shapes: Mapping[str, list[Any]] = field(default_factory=dict)
    link: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def position(self) -> str:
        """What the chain frames in beside the sections: kind and numbers."""
        numbers = (self.fit, self.epoch, self.index)
        return " ".join([self.kind, *(str(n) for n in numbers if n is not None)])

    def to_dict(self) -> dict[str, Any]:
        """The record as it stands in the ledger, without its line check; empty fields are left out."""
        known = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        return {k: v for k, v in known.items() if v not in (None, {}, "")} | dict(self.extra)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """Reads a record back.

        Raises:
            LedgerError: a field has a type that no keras_repro writes.
        """
        known, extra = _split(cls, data)
        _check_type("kind", known.get("kind"), str)
        record = cls(**known, extra=extra)
        _check_type("link", record.link, str)
        for name in ("fit", "epoch", "index"):
            _check_type(name, getattr(record, name), int | None)
        for name in ("sections", "tensors", "latent", "metrics", "added", "shapes"):
            _check_type(name, getattr(record, name), dict)
        for digests in (record.sections, *record.tensors.values(), *record.latent.values()):
            _check_type("digests", digests, dict)
            if not set(map(type, digests.values())) <= {str}:
                raise LedgerError("a digest in it is no text")
        for described in record.shapes.values():
            _check_type("shapes", described, list)
            if len(described) < 2 or not isinstance(described[1], list):
                raise LedgerError("a shape in it is none")
        return record


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """What a training had come to after one step. No part of the chain: steps may be recorded or not.

    Attributes:
        fit: number of the `fit` call, from 0.
        epoch: epoch index from 0.
        step: index of the step within the epoch, from 0.
        loss: the loss as Keras logs it (a mean over the epoch so far), by name where it is not finite; None
            where the logs hold none.
        state: digests of the whole sections `weights`, `optimizer`, `seeds` and `metrics`, by the header's
            `step_algorithm`; seed generators that have not moved since the fit began are left out.
        batch: of the batch that went in, `order`, a digest of its bytes as they are, and `rows`, the sum of
            its samples' hashes, the same in any order; empty where it was not seen.
        extra: what else was recorded of the step.
    """

    fit: int
    epoch: int
    step: int
    loss: float | str | None = None
    state: Mapping[str, str] = field(default_factory=dict)
    batch: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The record as it stands in the ledger, without its line check."""
        data = {"kind": "step", "fit": self.fit, "epoch": self.epoch, "step": self.step}
        loss = {} if self.loss is None else {"loss": self.loss}
        batch = {"batch": self.batch} if self.batch else {}
        return data | loss | {"state": self.state} | batch | dict(self.extra)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StepRecord:
        """Reads a record back.

        Raises:
            LedgerError: a field is missing, or has a type that no keras_repro writes.
        """
        known, extra = _split(cls, data)
        for name in ("fit", "epoch", "step"):
            _check_type(name, known.get(name), int)
        _check_type("loss", known.get("loss"), float | int | str | None)
        _check_type("state", known.get("state"), dict)
        _check_type("batch", known.get("batch", {}), dict)
        if not all(type(d) is str for d in [*known["state"].values(), *known.get("batch", {}).values()]):
            raise LedgerError("a digest in it is no text")
        return cls(**known, extra=extra)


def plain_number(value: Any) -> Any:
    """A log's value as JSON can hold it: a float (non-finite ones by name), or nested lists of them."""
    if isinstance(value, Mapping):
        return {str(k): plain_number(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain_number(v) for v in value]
    if isinstance(value, str | bool) or value is None:
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        return plain_number(value.tolist()) if hasattr(value, "tolist") else type(value).__name__
    if math.isfinite(number):
        return number
    return "nan" if math.isnan(number) else ("inf" if number > 0 else "-inf")


def _split(cls: type, data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    names = {f.name for f in fields(cls)} - {"extra"}
    skipped = {"n", "check"} | (set() if cls is Record else {"kind"})
    known = {k: v for k, v in data.items() if k in names}
    return known, {k: v for k, v in data.items() if k not in names | skipped}


def _check_type(name: str, value: Any, expected: Any) -> None:
    if not isinstance(value, expected) or isinstance(value, bool):
        raise LedgerError(f"its field {name!r} is a {type(value).__name__}")
