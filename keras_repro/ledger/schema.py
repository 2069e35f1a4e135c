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
from keras_repro.ledger import field_kinds
from keras_repro.utils.untrusted_json import as_mappings, of_kind

FORMAT = 1
_LARGEST = 1 << 63

Mode = Literal["observed", "enforced"]
Determinism = Literal["bitwise", "portable"]

# What a chain can commit to. A fingerprint has the letters of those that its recorder observed.
COVERAGE = {
    "s": "state at each fit's start, after each epoch and at its end",
    "m": "the model's own metrics",
    "o": "order of the training data",
    "r": "results computed outside fit: evaluate, predict, train_on_batch, state at exit",
}

ENDS = ("end", "exit")  # kinds of records that end a fit or a launched run

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
    """The first line of a ledger: the run's environment. No digest of the chain depends on it.

    Attributes:
        mode: `"observed"` (the script runs unchanged) or `"enforced"` (all switches pinned before Python
            starts).
        determinism: `"bitwise"` (reproducible on this machine) or `"portable"` (on other x86-64 CPUs too).
        coverage: the letters of `COVERAGE` that the run's chain commits to.
        created: the time of creation, in ISO 8601.
        version: the version of keras_repro.
        algorithm: the hash function of the chain and of all digests in it.
        step_algorithm: the hash function of step records; empty in ledgers without any.
        format: the version of the ledger format.
        environment: the result of `provenance.environment.gather`.
        switches: each switch as a dict with `name`, `requested`, `achieved`, `ok` and `fix`.
        command: `script`, `module`, `arguments` (redacted) and `hidden`, the number of redacted values.
        seed: the run's seed; None if keras_repro did not set it.
        policies: batch size, shuffle policy and caps, if keras_repro set them.
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
        """Return the header as it is in the ledger, without its line check."""
        known = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        known["switches"] = [dict(s) for s in self.switches]
        return {"kind": "header", **known, **self.extra}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Header:
        """Create a header from the first line of a ledger.

        Raises:
            LedgerError: the data is not a header, or is of a newer format.
        """
        if data.get("kind") != "header" or type(data.get("format")) is not int:
            raise LedgerError("it does not start with a header of keras_repro")
        if data["format"] > FORMAT:
            raise LedgerError(
                f"it has format {data['format']}, but this keras_repro reads formats up to {FORMAT}: "
                "upgrade keras_repro"
            )
        for name in ("environment", "command", "policies"):
            _check_type(name, data.get(name, {}), Mapping)
        _check_type("switches", data.get("switches", []), list)
        for reading in data.get("switches", []):
            _check_type("switches", reading, Mapping)
        known, extra = _split(cls, of_kind(data, field_kinds.HEADER))
        known["switches"] = tuple(known.get("switches", ()))
        known.setdefault("step_algorithm", "")
        header = cls(**known, extra=extra)
        for name in ("mode", "determinism", "coverage", "algorithm", "step_algorithm", "created", "version"):
            _check_type(name, getattr(header, name), str)
        if not (header.coverage.isascii() and header.coverage.isalpha()):
            raise LedgerError("its field 'coverage' must consist of letters")
        return header


@dataclass(frozen=True, kw_only=True)
class Record:
    """One line of a ledger after the header.

    Attributes:
        kind: one of `CHAINED_KINDS`, or a kind of a newer keras_repro.
        fit: the number of the `fit` call, from 0; None outside fit.
        epoch: the epoch's index, from 0, of epochs and of variables created in one.
        index: the number of the evaluation, prediction or loop, from 0.
        sections: the section digests by name; the chain commits to these and the position.
        tensors: the digests by section and tensor name, in the structure's order.
        latent: digests by group and name that are compared and noted, but not in the chain.
        metrics: the model's own logs as numbers.
        added: the logs that callbacks added.
        shapes: `[dtype, shape, Keras's name]` of each tensor that no earlier record describes.
        link: the chain's link after this record, 64 hexadecimal digits; empty before it is written.
        extra: fields of this kind alone (`configuration`, `data`, `status`, `seconds`, ...).
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
        """Kind and numbers of the record, to which the chain commits together with the sections."""
        numbers = (self.fit, self.epoch, self.index)
        return " ".join([self.kind, *(str(n) for n in numbers if n is not None)])

    def to_dict(self) -> dict[str, Any]:
        """Return the record as it is in the ledger, without its line check and empty fields."""
        known = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        return {k: v for k, v in known.items() if v not in (None, {}, "")} | dict(self.extra)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """Create a record from a line of a ledger.

        Raises:
            LedgerError: a field has a wrong type.
        """
        known, extra = _split(cls, of_kind(data, field_kinds.RECORD))
        _check_type("kind", known.get("kind"), str)
        record = cls(**known, extra=extra)
        _check_type("link", record.link, str)
        for name in ("fit", "epoch", "index"):
            _check_number(name, getattr(record, name), int | None)
        for name in ("sections", "tensors", "latent", "metrics", "added", "shapes"):
            _check_type(name, getattr(record, name), dict)
        for digests in (record.sections, *record.tensors.values(), *record.latent.values()):
            _check_type("digests", digests, dict)
            if not set(map(type, digests.values())) <= {str}:
                raise LedgerError("a digest in it is not a text")
        for described in record.shapes.values():
            _check_type("shapes", described, list)
            if len(described) < 2 or not isinstance(described[1], list):
                raise LedgerError("a shape in it is not valid")
        return record


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """The state after one training step. Not part of the chain, since recording steps is optional.

    Attributes:
        fit: the number of the `fit` call, from 0.
        epoch: the epoch's index, from 0.
        step: the index of the step within the epoch, from 0.
        loss: the loss as Keras logs it (a mean over the epoch so far), by name if it is not finite; None if
            the logs have none.
        state: digests of the sections `weights`, `optimizer`, `seeds` and `metrics`, by the header's
            `step_algorithm`; without seed generators that have not been used since the fit began.
        batch: `order`, the digest of the batch's bytes, and `rows`, the sum of its samples' hashes in any
            order; empty if the batch was not observed.
        extra: further fields of the step.
    """

    fit: int
    epoch: int
    step: int
    loss: float | str | None = None
    state: Mapping[str, str] = field(default_factory=dict)
    batch: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as it is in the ledger, without its line check."""
        data = {"kind": "step", "fit": self.fit, "epoch": self.epoch, "step": self.step}
        loss = {} if self.loss is None else {"loss": self.loss}
        batch = {"batch": self.batch} if self.batch else {}
        return data | loss | {"state": self.state} | batch | dict(self.extra)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StepRecord:
        """Create a record from a line of a ledger.

        Raises:
            LedgerError: a field is missing or has a wrong type.
        """
        known, extra = _split(cls, data)
        for name in ("fit", "epoch", "step"):
            _check_number(name, known.get(name), int)
        _check_type("loss", known.get("loss"), float | int | str | None)
        _check_type("state", known.get("state"), dict)
        _check_type("batch", known.get("batch", {}), dict)
        if not all(type(d) is str for d in [*known["state"].values(), *known.get("batch", {}).values()]):
            raise LedgerError("a digest in it is not a text")
        return cls(**known, extra=extra)


def switches_in(header: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the switches of a header by name, each as in `Header.switches`."""
    return {str(s.get("name")): s for s in as_mappings(header.get("switches"))}


# Fields of a description of data that were added later.
_LATER = ("parts", "workers", "shared_generators")


def without_later_fields(description: Any) -> Any:
    """Return a description of data without what ledgers of earlier versions do not have.

    The digest of the whole covers those of its parts.
    """
    if not isinstance(description, Mapping):
        return description
    return {name: value for name, value in description.items() if name not in _LATER}


def plain_number(value: Any) -> Any:
    """Return a value of the logs for JSON: a float (non-finite ones by name), or nested lists of floats."""
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


def _check_number(name: str, value: Any, expected: Any) -> None:
    _check_type(name, value, expected)
    if value is not None and not 0 <= value < _LARGEST:
        raise LedgerError(f"its field {name!r} is not a number from 0")
