"""Ledgers after a machine failure: unsynced lines at the end may be lost, synced ones are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ledger_builders
import pytest

from keras_repro.errors import LedgerError
from keras_repro.ledger.reader import discard_unbegun, open_ledger
from keras_repro.ledger.resumed_writer import ResumedLedgerWriter
from keras_repro.ledger.schema import Header
from keras_repro.ledger.writer import LedgerWriter

HEADER: dict[str, Any] = {"coverage": "sm"}
RECORDS = ledger_builders.training()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ledger whose fifth line says that the first four were durable."""
    with LedgerWriter.create(tmp_path / "run", Header(**HEADER)) as ledger:
        for record in RECORDS[:3]:
            ledger.append(record)
        ledger.sync()
        ledger.mark("snapshot", file="a.h5")
        for record in RECORDS[3:-1]:
            ledger.append(record)
    return tmp_path / "run"


def zeroed(folder: Path, first: int, last: int) -> None:
    """Write zeros in place of some lines, as in pages that were never written."""
    lines = (folder / "ledger.jsonl").read_bytes().splitlines(True)
    lines[first:last] = [bytes(len(line)) for line in lines[first:last]]
    (folder / "ledger.jsonl").write_bytes(b"".join(lines))


def test_mark_records_the_durable_lines(folder: Path) -> None:
    marks = [r for r in open_ledger(folder).records() if r["kind"] == "snapshot"]
    assert [m["durable"] for m in marks] == [4]


@pytest.mark.parametrize(("first", "last"), [(6, 7), (6, 99), (5, 6), (4, 99)])
def test_zeros_after_the_durable_lines_end_the_ledger(folder: Path, first: int, last: int) -> None:
    whole = list(open_ledger(folder).records())
    zeroed(folder, first, last)
    ledger = open_ledger(folder)
    assert list(ledger.records()) == whole[: first - 1]
    assert ledger.notes == [f"{folder}/ledger.jsonl: its end was never written to disk and is ignored"]
    assert ledger.status == "killed"


def test_zeros_before_an_end_are_damage(tmp_path: Path) -> None:
    folder = ledger_builders.write(tmp_path / "whole", RECORDS, **HEADER)
    zeroed(folder, 4, 5)
    with pytest.raises(LedgerError, match="is damaged at line 5: its line check does not match"):
        list(open_ledger(folder).records())


@pytest.mark.parametrize(("first", "last"), [(1, 2), (3, 4), (2, 4)])
def test_zeros_in_durable_lines_are_damage(folder: Path, first: int, last: int) -> None:
    zeroed(folder, first, last)
    with pytest.raises(LedgerError, match=rf"is damaged at line {first + 1}: its line check does not match"):
        list(open_ledger(folder).records())


def test_resumed_run_continues_after_the_intact_lines(folder: Path, tmp_path: Path) -> None:
    zeroed(folder, 6, 7)
    with ResumedLedgerWriter(folder, Header(**HEADER)) as ledger:
        for record in RECORDS:
            ledger.append(record)
    ledger_file = open_ledger(folder)
    whole = ledger_builders.write(tmp_path / "whole", RECORDS, **HEADER)
    assert ledger_file.fingerprint == open_ledger(whole).fingerprint
    assert ledger_file.notes == []


@pytest.mark.parametrize("left", ["nothing", "half", "zeros", "zeros and a line"])
def test_ledger_without_a_header_is_removed(folder: Path, left: str) -> None:
    path = folder / "ledger.jsonl"
    header, line = path.read_bytes().splitlines(True)[:2]
    zeros = bytes(len(header))
    path.write_bytes(
        {"nothing": b"", "half": header[:50], "zeros": zeros, "zeros and a line": zeros + line}[left]
    )
    discard_unbegun(folder)
    assert not path.exists()
    discard_unbegun(folder)


def test_ledger_with_a_header_is_kept(folder: Path) -> None:
    before = (folder / "ledger.jsonl").read_bytes()
    discard_unbegun(folder)
    assert (folder / "ledger.jsonl").read_bytes() == before
    zeroed(folder, 0, 1)  # it was durable
    discard_unbegun(folder)
    with pytest.raises(LedgerError, match="is damaged at line 1"):
        open_ledger(folder)
