"""Build ledgers as two trainings might record them, with a difference in one place."""

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
_CREATED = {ITERATIONS: ["int64", [], "adam/iteration"], RATE: ["float32", [], "adam/learning_rate"]}

DATA = {"kind": "arrays", "samples": 4, "digest": "d" * 32, "rows": "e" * 32, "order": "keras"}


DIFFERENT_MODELS = (
    f"different models: {KERNEL} is float32[2, 3] in one and float32[2, 5] in the other; "
    f"{BIAS} is float32[3] in one and float16[3] in the other; layers/1/kernel is in the second only"
)


def digest(text: str) -> str:
    """Return a digest of 32 hexadecimal digits, a function of the text."""
    return blake3.blake3(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def record(kind: str, tensors: Mapping[str, Mapping[str, str]], **more: Any) -> Record:
    """Return a record whose tensors have the digests of these texts."""
    digests = {s: {name: digest(text) for name, text in texts.items()} for s, texts in tensors.items()}
    sections = {s: section_digest(by_name) for s, by_name in digests.items()}
    return Record(kind=kind, sections=sections, tensors=digests, **more)


def training(*, fit: int = 0, epochs: int = 3, status: str = "finished", **extra: Any) -> list[Record]:
    """Return the records of one fit, each with another state.

    Args:
        fit: the fit's number.
        epochs: the number of epochs.
        status: how the fit ended; `"killed"` omits its end.
        extra: fields of its `fit` record in place of the default ones.
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
    created = {"optimizer": {ITERATIONS: "0", RATE: "rate"}}
    records.append(record("birth", created, fit=fit, epoch=0, shapes=_CREATED))
    for epoch in range(epochs):
        tensors = state(f"epoch {epoch}") | {"metrics": {"loss": f"loss {epoch}"}}
        records.append(record("epoch", tensors, fit=fit, epoch=epoch, metrics={"loss": 1.0 / (epoch + 1)}))
    if status != "killed":
        records.append(record("end", state(f"epoch {epochs - 1}"), fit=fit, extra={"status": status}))
    return records


def other_shapes() -> list[Record]:
    """Return the records of a fit whose model has other layers; the difference is `DIFFERENT_MODELS`."""
    shapes = {
        KERNEL: ["float32", [2, 5], ""],
        BIAS: ["float16", [3], ""],
        "layers/1/kernel": ["float32", [], ""],
    }
    tensors = {"weights": {KERNEL: "wide", BIAS: "bias 0 start", "layers/1/kernel": "new"}}
    base = training()
    return [base[0], record("start", tensors, fit=0, shapes=shapes), *base[2:]]


def result(kind: str, index: int = 0, text: str = "0.25", **extra: Any) -> Record:
    """Return an evaluation or a prediction."""
    return record(kind, {"results": {"output": text}}, index=index, extra={"data": DATA} | extra)


def exit_record(tensors: Mapping[str, Mapping[str, str]] | None = None, **extra: Any) -> Record:
    """Return the last record of a launched run."""
    return record("exit", tensors or {}, extra={"status": "finished", "code": 0} | extra)


def changed(records: Iterable[Record], position: str, section: str, tensor: str, text: str) -> list[Record]:
    """Return the records with another value of one tensor in one of them."""
    result = []
    for record in records:
        if record.position == position:
            tensors = {s: dict(by_name) for s, by_name in record.tensors.items()}
            tensors.setdefault(section, {})[tensor] = digest(text)
            sections = dict(record.sections) | {section: section_digest(tensors[section])}
            record = replace(record, tensors=tensors, sections=sections)
        result.append(record)
    return result


def with_fields(records: Iterable[Record], position: str, **fields: Any) -> list[Record]:
    """Return the records with other fields in one of them; `extra` is extended."""
    result = []
    for record in records:
        if record.position == position:
            extra = dict(record.extra) | dict(fields.get("extra", {}))
            record = replace(record, **(fields | {"extra": extra}))
        result.append(record)
    return result


def write(run_dir: Path, records: Iterable[Record], **header: Any) -> Path:
    """Write the records into a run folder, in place of an existing ledger."""
    fields: dict[str, Any] = {"coverage": "sm", "created": f"2026-11-22T10:00:00+00:00 {run_dir.name}"}
    (run_dir / "ledger.jsonl").unlink(missing_ok=True)
    with LedgerWriter.create(run_dir, Header(**(fields | header))) as ledger:
        for record in records:
            ledger.append(record)
    return run_dir
