"""Ledgers written by hand: what two trainings might have recorded, to be changed in one place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import blake3

from keras_repro.ledger.schema import Header, Record
from keras_repro.ledger.writer import LedgerWriter
from keras_repro.storage.digest import section_digest

KERNEL, BIAS = "layers/0/kernel", "layers/0/bias"
ITERATIONS, RATE = "optimizer/iterations", "optimizer/learning_rate"

_SHAPES = {
    KERNEL: ["float32", [2, 3], "sequential/dense/kernel"],
    BIAS: ["float32", [3], "sequential/dense/bias"],
}
_BORN = {ITERATIONS: ["int64", [], "adam/iteration"], RATE: ["float32", [], "adam/learning_rate"]}

DATA = {"kind": "arrays", "samples": 4, "digest": "d" * 32, "rows": "e" * 32, "order": "keras"}


def digest(text: str) -> str:
    """A digest of 32 hexadecimal digits, the same for the same text."""
    return blake3.blake3(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def record(kind: str, tensors: Mapping[str, Mapping[str, str]], **more: Any) -> Record:
    """A record whose tensors hold what these texts say."""
    held = {s: {name: digest(text) for name, text in named.items()} for s, named in tensors.items()}
    sections = {s: section_digest(named) for s, named in held.items()}
    return Record(kind=kind, sections=sections, tensors=held, **more)


def training(*, fit: int = 0, epochs: int = 3, status: str = "finished", **extra: Any) -> list[Record]:
    """The records of one fit, each state another.

    Args:
        fit: its number.
        epochs: how many epochs it recorded, of as many as `arguments` asks for.
        status: how it ended; `"killed"` leaves its end out.
        extra: fields of its `fit` record in place of the usual ones.
    """

    def state(time: str) -> dict[str, dict[str, str]]:
        weights = {KERNEL: f"kernel {fit} {time}", BIAS: f"bias {fit} {time}"}
        if time == "start":
            return {"weights": weights}
        return {"weights": weights, "optimizer": {ITERATIONS: time, RATE: "rate"}}

    usual: dict[str, Any] = {
        "configuration": {"model": "Sequential", "layers": [["Dense", {"units": 3}]]},
        "arguments": {"epochs": epochs, "steps": 2},
        "data": DATA,
        "seeds_set": {"keras": 42, "tensorflow": None},
    }
    number = record("fit", {}, fit=fit, extra=usual | extra)
    records = [replace(number, sections={"fit": digest(f"fit {fit}")})]
    records.append(record("start", state("start"), fit=fit, shapes=_SHAPES))
    born = {"optimizer": {ITERATIONS: "0", RATE: "rate"}}
    records.append(record("birth", born, fit=fit, epoch=0, shapes=_BORN))
    for epoch in range(epochs):
        held = state(f"epoch {epoch}") | {"metrics": {"loss": f"loss {epoch}"}}
        records.append(record("epoch", held, fit=fit, epoch=epoch, metrics={"loss": 1.0 / (epoch + 1)}))
    if status != "killed":
        records.append(record("end", state(f"epoch {epochs - 1}"), fit=fit, extra={"status": status}))
    return records


def result(kind: str, index: int = 0, text: str = "0.25", **extra: Any) -> Record:
    """An evaluation or a prediction."""
    return record(kind, {"results": {"output": text}}, index=index, extra={"data": DATA} | extra)


def exit_record(tensors: Mapping[str, Mapping[str, str]] | None = None, **extra: Any) -> Record:
    """The last record of a launched run."""
    return record("exit", tensors or {}, extra={"status": "finished", "code": 0} | extra)


def changed(records: Iterable[Record], position: str, section: str, tensor: str, text: str) -> list[Record]:
    """The records with one tensor of one of them holding something else."""
    found = []
    for one in records:
        if one.position == position:
            held = {s: dict(named) for s, named in one.tensors.items()}
            held.setdefault(section, {})[tensor] = digest(text)
            sections = dict(one.sections) | {section: section_digest(held[section])}
            one = replace(one, tensors=held, sections=sections)
        found.append(one)
    return found


def with_fields(records: Iterable[Record], position: str, **fields: Any) -> list[Record]:
    """The records with other fields in one of them; `extra` is added to."""
    found = []
    for one in records:
        if one.position == position:
            extra = dict(one.extra) | dict(fields.get("extra", {}))
            one = replace(one, **(fields | {"extra": extra}))
        found.append(one)
    return found


def write(run_dir: Path, records: Iterable[Record], **header: Any) -> Path:
    """Writes them into a run folder, in place of what was there."""
    fields: dict[str, Any] = {"coverage": "sm", "created": f"2026-11-22T10:00:00+00:00 {run_dir.name}"}
    with LedgerWriter.create(run_dir, Header(**(fields | header)), overwrite=True) as ledger:
        for one in records:
            ledger.append(one)
    return run_dir
