"""A resumed ledger has one chain, loses nothing, and finds another training at its first record."""

from pathlib import Path
from typing import Any

import ledger_builders
import pytest

from keras_repro.errors import LedgerError, ResumeError
from keras_repro.ledger.reader import open_ledger
from keras_repro.ledger.resumed_writer import ResumedLedgerWriter
from keras_repro.ledger.schema import Header, StepRecord

HEADER: dict[str, Any] = {"coverage": "sm", "seed": 1, "policies": {"batch_size": 4}}
RECORDS = ledger_builders.training()


def interrupted(folder: Path, records: int = 5) -> Path:
    ledger_builders.write(folder, RECORDS[:records], **HEADER)
    return folder


def test_recorded_part_is_compared_and_new_records_are_appended(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "a")
    before = (folder / "ledger.jsonl").read_bytes()
    with ResumedLedgerWriter(folder, Header(**HEADER)) as ledger:
        for record in RECORDS:
            ledger.append(record)
    after = (folder / "ledger.jsonl").read_bytes()
    assert after.startswith(before)
    whole = ledger_builders.write(tmp_path / "whole", RECORDS, **HEADER)
    assert open_ledger(folder).fingerprint == open_ledger(whole).fingerprint


def test_ledger_without_digests_of_the_parts_of_data_is_continued(tmp_path: Path) -> None:
    parts = {"data": ledger_builders.DATA | {"parts": {"x": "1f", "y": "02"}}}
    with ResumedLedgerWriter(interrupted(tmp_path / "a"), Header(**HEADER)) as ledger:
        for record in ledger_builders.with_fields(RECORDS, "fit 0", extra=parts):
            ledger.append(record)
    assert open_ledger(tmp_path / "a").status == "finished"


def test_incomplete_last_line_is_cut_off(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "a")
    with open(folder / "ledger.jsonl", "ab") as file:
        file.write(b'{"kind":"epo')
    with ResumedLedgerWriter(folder, Header(**HEADER)) as ledger:
        for record in RECORDS:
            ledger.append(record)
    assert open_ledger(folder).notes == []
    assert open_ledger(folder).status == "finished"


def test_records_up_to_a_snapshot_are_skipped(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "a")
    links = [r.link for r in open_ledger(folder).typed_records()]
    with ResumedLedgerWriter(folder, Header(**HEADER)) as ledger:
        for record in RECORDS[:2]:
            ledger.append(record)
        ledger.skip_to(links[3])
        ledger.append(RECORDS[4])
        for record in RECORDS[5:]:
            ledger.append(record)
    assert open_ledger(folder).status == "finished"
    with (
        ResumedLedgerWriter(folder, Header(**HEADER)) as ledger,
        pytest.raises(LedgerError, match="does not contain the record that the snapshot belongs to"),
    ):
        ledger.skip_to("11" * 32)


def test_other_training_is_refused_at_its_first_record(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "a")
    before = (folder / "ledger.jsonl").read_bytes()
    other = ledger_builders.changed(RECORDS, "epoch 0 0", "weights", ledger_builders.KERNEL, "other")
    with ResumedLedgerWriter(folder, Header(**HEADER)) as ledger:
        for record in other[:3]:
            ledger.append(record)
        with pytest.raises(ResumeError, match="at epoch 0 0, weights differs"):
            ledger.append(other[3])
    assert (folder / "ledger.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 2}, "seed changed"),
        ({"coverage": "smo"}, "coverage changed"),
        ({"mode": "enforced"}, "mode changed"),
        ({"policies": {"batch_size": 8}}, "batch_size changed"),
        (
            {"switches": ({"name": "onednn", "achieved": False}, {"name": "tf32", "achieved": True})},
            r"/ledger.jsonl: switch onednn changed since the interruption "
            r"\(switch onednn: True before, False now\)",
        ),
    ],
)
def test_changed_settings_are_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    switches = ({"name": "onednn", "achieved": True},)
    folder = ledger_builders.write(tmp_path / "a", RECORDS[:5], **HEADER, switches=switches)
    with pytest.raises(ResumeError, match=message):
        ResumedLedgerWriter(folder, Header(**(HEADER | {"switches": switches} | changed)))


def test_switches_that_one_process_could_not_read_have_not_changed(tmp_path: Path) -> None:
    before = ({"name": "blas_threads", "achieved": 2}, {"name": "hash_seed", "achieved": 1})
    now = ({"name": "blas_threads", "achieved": None}, {"name": "hash_seed", "achieved": 2})
    folder = ledger_builders.write(tmp_path / "a", RECORDS[:5], **HEADER, switches=before)
    ResumedLedgerWriter(folder, Header(**(HEADER | {"switches": now}))).close()
    assert open_ledger(folder).header["switches"] == list(before)


def test_steps_are_written_once(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "a")
    step = StepRecord(fit=0, epoch=0, step=0, state={"weights": "00"})
    for _ in range(2):
        with ResumedLedgerWriter(folder, Header(**HEADER)) as ledger:
            ledger.append_step(step)
    assert sum(r["kind"] == "step" for r in open_ledger(folder).records()) == 1
