"""Recorded runs to mutate: all kinds of records, with steps, sketches and snapshots."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from ledger_builders import changed, exit_record, result, training
from with_weights import write_run

from keras_repro.ledger.schema import Header, Record, StepRecord
from keras_repro.ledger.writer import LedgerWriter
from keras_repro.provenance.input_files import file_digest

GOLDEN = Path(__file__).resolve().parents[2] / "docs" / "golden"
SCRIPT = "open('executed', 'w').close()  # a recorded run is only ever read here\n"
LAYERS = ("layers/0/kernel", "layers/0/bias", "layers/1/kernel")


def write_corpus(folder: Path) -> list[tuple[Path, Path]]:
    """Write the runs and the script `train.py`; return pairs of runs that are compared with each other."""
    folder.mkdir(parents=True)
    script = folder / "train.py"
    script.write_text(SCRIPT)
    header = _header(script)
    whole = [
        _whole_run(folder / name, header, value)
        for name, value in (("a", "same"), ("b", "same"), ("c", "new"))
    ]
    weights = [_with_weights(folder / f"w{n}", n) for n in range(5)]
    golden = []
    for name in ("finished", "killed"):
        (folder / name).mkdir()
        golden.append(folder / name)
        shutil.copy(GOLDEN / f"{name}.jsonl", folder / name / "ledger.jsonl")
    return [
        (whole[0], whole[1]),
        (whole[0], whole[2]),
        (weights[0], weights[0]),
        (weights[0], weights[1]),
        (golden[0], golden[0]),
        (golden[1], golden[1]),
    ]


def _header(script: Path) -> dict[str, Any]:
    line = (GOLDEN / "finished.jsonl").read_bytes().splitlines()[0]
    known = {"mode", "environment", "switches", "seed", "policies"}
    header = {name: value for name, value in json.loads(line).items() if name in known}
    header["environment"]["code"] = file_digest(script)
    header["policies"] = {"max_epochs": 3}
    header["command"] = {"script": "train.py", "module": None, "arguments": ["--epochs", "3"], "hidden": 0}
    return header


def _whole_run(folder: Path, header: dict[str, Any], value: str) -> Path:
    """Write a run of a whole script: two fits with steps, an evaluation, and files that it read."""
    first = changed(training(fit=0), "epoch 0 1", "weights", "layers/0/kernel", value)
    records = [*first, *training(fit=1, epochs=2), result("evaluation"), result("prediction")]
    inputs = {
        "files": [{"root": "working folder", "path": "x.npy", "bytes": 9, "digest": "0" * 32}],
        "unnamed": 1,
    }
    with LedgerWriter.create(
        folder, Header(coverage="smr", created="2026-11-22T10:00:00+00:00", **header)
    ) as ledger:
        for record in [*records, exit_record(inputs=inputs, processes=1)]:
            if record.kind == "epoch":
                _append_steps(ledger, record, value)
            ledger.append(record)
    return folder


def _append_steps(ledger: LedgerWriter, record: Record, value: str) -> None:
    for step in range(2):
        digest = f"{value}{step}".encode().hex().ljust(32, "0")
        ledger.append_step(
            StepRecord(
                fit=record.fit or 0,
                epoch=record.epoch or 0,
                step=step,
                loss=0.5,
                state={"weights": digest, "seeds": digest},
                batch={"order": digest, "rows": "0" * 32},
            )
        )


def _with_weights(folder: Path, number: int) -> Path:
    random = np.random.default_rng(number)
    states = [
        {
            LAYERS[0]: random.normal(size=(4, 9)).astype("float32"),
            LAYERS[1]: np.zeros(9, "float64"),
            LAYERS[2]: np.arange(40, dtype="int64") + epoch,
            "layers/2/words": np.array([b"one", b"two"], object),
        }
        for epoch in range(4)
    ]
    metrics = [{"loss": 1.0 / (epoch + 1) + number / 8, "val_loss": 0.5 + number} for epoch in range(3)]
    return write_run(folder, states, keep={1, 3}, metrics=metrics)
