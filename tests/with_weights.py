"""Write run folders with real weights, without Keras: ledger, sketches, snapshots."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_repro.ledger.schema import Header, Record
from keras_repro.ledger.writer import LedgerWriter
from keras_repro.storage.digest import array_digest, content_digest, section_digest, tensor_digest
from keras_repro.storage.linear_sketch import parts_of, sketch_rows
from keras_repro.storage.run_folder import SKETCHES_NAME
from keras_repro.storage.sketch_file import SketchedTensor, SketchWriter
from keras_repro.storage.snapshot_file import write_snapshot

State = Mapping[str, np.ndarray]


def digest_of(name: str, array: np.ndarray) -> str:
    if array.dtype.kind in "OSU":
        return array_digest(name, array)
    flat = np.ascontiguousarray(array).reshape(-1).view("u1")
    return tensor_digest(name, array.dtype.name, array.shape, content_digest(flat))


def write_run(
    folder: Path,
    states: Sequence[State],
    *,
    keep: Container[int] = (),
    sketches: bool = True,
    steps: int | None = 100,
    fit: int = 0,
    end: State | None = None,
    status: str = "finished",
    metrics: Sequence[Mapping[str, Any]] = (),
    **header: Any,
) -> Path:
    """Write a run of one fit.

    Args:
        folder: the run folder.
        states: the weights at the start and after each epoch.
        keep: indices into `states` of those that have a snapshot.
        sketches: whether to write sketches.
        steps: the steps of an epoch.
        fit: the number of the fit.
        end: the weights at the end; by default those of the last state.
        status: `"finished"`, `"stopped"` or `"killed"`.
        metrics: the metrics of each epoch.
        header: fields of the header.
    """
    header = {"coverage": "sm", "created": f"2026-11-22T10:00:00+00:00 {folder.name}"} | header
    with LedgerWriter.create(folder, Header(**header)) as ledger:
        writer = SketchWriter(folder / SKETCHES_NAME) if sketches else None
        extra = {"arguments": {"epochs": len(states) - 1, "steps": steps}}
        ledger.append(Record(kind="fit", fit=fit, sections={"fit": "00"}, extra=extra))
        known: dict[str, str] = {}
        last = [] if status == "killed" else [states[-1] if end is None else end]
        for number, state in enumerate([*states, *last]):
            digests = {name: digest_of(name, array) for name, array in state.items()}
            kind = "start" if number == 0 else "epoch" if number < len(states) else "end"
            epoch = number - 1 if kind == "epoch" else None
            logs = dict(metrics[number - 1]) if kind == "epoch" and metrics else {}
            sections = {"weights": section_digest(digests)}
            if logs:
                sections["metrics"] = section_digest({n: array_digest(n, v) for n, v in logs.items()})
            record = Record(
                kind=kind,
                fit=fit,
                epoch=epoch,
                sections=sections,
                tensors={"weights": digests},
                metrics=logs,
                shapes={
                    name: [
                        "string" if a.dtype.kind == "O" else a.dtype.name,
                        list(a.shape),
                        f"model/{name.replace('layers/', 'dense_')}",
                    ]
                    for name, a in state.items()
                    if name not in known
                },
                extra={"status": status} if kind == "end" else {},
            )
            if writer is not None:
                changed = [n for n in digests if known.get(n) != digests[n] and _sketchable(state[n])]
                rows = [
                    (
                        SketchedTensor(n, state[n].dtype.name, state[n].shape),
                        sketch_rows(state[n], state[n].dtype.name),
                    )
                    for n in changed
                ]
                writer.append(record.position, sections["weights"], rows)
            known |= digests
            if number in keep:
                (folder / "snapshots").mkdir(exist_ok=True)
                file = f"snapshots/fit-1-{number}.h5"
                taken = {"file": file, "digest": write_snapshot(folder / file, state)}
                record = Record(**(vars(record) | {"extra": dict(record.extra) | {"snapshot": taken}}))
            ledger.append(record)
        if writer is not None:
            writer.close()
    return folder


def _sketchable(array: np.ndarray) -> bool:
    return array.dtype.kind != "O" and parts_of(array.dtype.name) > 0
