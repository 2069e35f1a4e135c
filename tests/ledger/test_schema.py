"""Headers and records round-trip; invalid data is refused."""

import json
import math
import re

import numpy as np
import pytest

from keras_repro.errors import LedgerError
from keras_repro.ledger.schema import (
    CHAINED_KINDS,
    COVERAGE,
    FORMAT,
    Header,
    Record,
    StepRecord,
    plain_number,
)

D = "0123456789abcdef" * 2

RECORDS = {
    "fit": Record(
        kind="fit",
        fit=0,
        sections={"fit": D},
        extra={"configuration": {"model": "Sequential", "layers": [["Dense", {}]]}, "data": {"kind": "none"}},
    ),
    "start": Record(
        kind="start",
        fit=1,
        sections={"weights": D},
        tensors={"weights": {"layers/0/kernel": D, "größe": D}},
        latent={"process generators": {"python": D}},
        shapes={"layers/0/kernel": ["float32", [2, 3], "dense/kernel"], "größe": ["int64", [], ""]},
    ),
    "birth": Record(kind="birth", fit=0, epoch=0, sections={"optimizer": D}, tensors={"optimizer": {"m": D}}),
    "epoch": Record(
        kind="epoch",
        fit=0,
        epoch=0,
        sections={"weights": D, "metrics": D},
        metrics={"loss": 0.1, "nan": "nan", "flag": True, "many": [1.0, 2.5]},
        added={"lr": 0.001},
        link="ab" * 32,
        extra={"seconds": 1.5, "stateful_random_operations": ["RandomUniform"]},
    ),
    "end": Record(kind="end", fit=0, extra={"status": "stopped", "reason": None}),
    "evaluation": Record(kind="evaluation", index=0, sections={"results": D}, metrics={"loss": 0.0}),
    "prediction": Record(kind="prediction", index=12, sections={"results": D}, extra={"data": {}}),
    "loop": Record(kind="loop", index=0, sections={"weights": D}, extra={"steps": 8}),
    "exit": Record(kind="exit", extra={"status": "finished", "code": 0, "unsupported": []}),
}


def test_every_kind_has_a_record():
    assert set(RECORDS) == set(CHAINED_KINDS)


@pytest.mark.parametrize("kind", RECORDS)
def test_records_round_trip(kind):
    record = RECORDS[kind]
    assert Record.from_dict(record.to_dict()) == record
    read = json.loads(json.dumps(record.to_dict() | {"n": 7}))
    assert Record.from_dict(read | {"check": "0" * 16}) == record


def test_keys_of_a_newer_version_are_kept():
    data = RECORDS["epoch"].to_dict() | {"sketch": [1, 2], "extra": {"a": 1}}
    record = Record.from_dict(data)
    assert record.extra["sketch"] == [1, 2]
    assert record.extra["extra"] == {"a": 1}
    assert record.to_dict() == data
    header = Header.from_dict({"kind": "header", "format": 1, "site": "x", "extra": 2, "n": 0, "check": "0"})
    assert header.extra == {"site": "x", "extra": 2}
    assert Header.from_dict(header.to_dict()) == header


def test_empty_fields_are_omitted_and_zeros_are_not():
    assert Record(kind="epoch", fit=0, epoch=0).to_dict() == {"kind": "epoch", "fit": 0, "epoch": 0}


@pytest.mark.parametrize(
    ("record", "position"),
    [
        (Record(kind="fit", fit=0), "fit 0"),
        (Record(kind="epoch", fit=2, epoch=11), "epoch 2 11"),
        (Record(kind="evaluation", index=3), "evaluation 3"),
        (Record(kind="exit"), "exit"),
    ],
)
def test_positions_name_their_record(record, position):
    assert record.position == position


def test_header_round_trips():
    header = Header(
        mode="enforced",
        coverage="smro",
        created="2026-11-22T10:00:00+00:00",
        version="0.1.0",
        environment={"packages": {"keras": "3.15.1"}},
        switches=({"name": "hash_seed", "requested": "0", "achieved": "0", "ok": True, "fix": ""},),
        command={"script": "train.py", "arguments": ["--epochs", "5"], "hidden": 0},
        seed=0,
        policies={"batch_size": 32},
    )
    assert Header.from_dict(header.to_dict()) == header
    assert Header.from_dict(json.loads(json.dumps(header.to_dict()))) == header
    assert next(iter(header.to_dict())) == "kind"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "epoch"}, "does not start with a header"),
        ({"format": None}, "does not start with a header"),
        ({"format": True}, "does not start with a header"),
        ({"format": "1"}, "does not start with a header"),
        ({"format": 1.0}, "does not start with a header"),
        (
            {"format": FORMAT + 1},
            "it has format 2, but this keras_repro reads formats up to 1: upgrade",
        ),
        ({"mode": 1}, "field 'mode' is a int"),
        ({"coverage": None}, "field 'coverage' is a NoneType"),
        ({"coverage": ""}, "field 'coverage' must consist of letters"),
        ({"coverage": "s\x1b[2J"}, "field 'coverage' must consist of letters"),
        ({"algorithm": []}, "field 'algorithm' is a list"),
        ({"environment": []}, "field 'environment' is a list"),
        ({"command": "train.py"}, "field 'command' is a str"),
        ({"policies": None}, "field 'policies' is a NoneType"),
        ({"switches": "abc"}, "field 'switches' is a str"),
        ({"switches": {"a": 1}}, "field 'switches' is a dict"),
        ({"switches": [1]}, "field 'switches' is a int"),
        ({"created": 5}, "field 'created' is a int"),
    ],
)
def test_invalid_headers_are_refused(change, message):
    with pytest.raises(LedgerError, match=message):
        Header.from_dict(Header().to_dict() | change)


def test_nested_fields_of_another_kind_count_as_not_recorded():
    environment = {
        "python": 3,
        "packages": {"keras": "3.15.1", "numpy": 2},
        "frameworks": "keras",
        "cpu": {"model": ["x"], "available": True, "logical": 8, "new": [1]},
        "memory_bytes": 10**30,
        "gpu": [{"model": "A100", "memory_bytes": "40"}, "A100"],
        "variables": {"TZ": None, "LANG": "C", "XLA_FLAGS": 5},
        "git": None,
    }
    changed = {
        "environment": environment,
        "command": {"script": 5, "arguments": ["--lr", 3, "1"], "hidden": "2"},
        "seed": "42",
        "policies": {"max_epochs": [], "batch_size": [32]},
        "switches": [{"name": 3, "achieved": {"a": 1}, "ok": "yes"}],
    }
    header = Header.from_dict(Header().to_dict() | changed)
    assert header.environment == {
        "packages": {"keras": "3.15.1"},
        "cpu": {"logical": 8, "new": [1]},
        "gpu": [{"model": "A100"}],
        "variables": {"TZ": None, "LANG": "C"},
        "git": None,
    }
    assert header.command == {"arguments": ["--lr", 3, "1"]}
    assert header.seed is None
    assert header.policies == {"batch_size": [32]}
    assert header.switches == ({"achieved": {"a": 1}},)

    record = Record.from_dict(
        {"kind": "fit", "arguments": {"epochs": "3", "steps": 2}, "data": "x", "notes": ["a", 3], "new": 5}
    )
    assert record.extra == {"arguments": {"steps": 2}, "notes": ["a"], "new": 5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": None}, "field 'kind' is a NoneType"),
        ({"fit": -1}, "field 'fit' is not a number from 0"),
        ({"epoch": 10**4299}, "field 'epoch' is not a number from 0"),
        ({"kind": 3}, "field 'kind' is a int"),
        ({"fit": "0"}, "field 'fit' is a str"),
        ({"fit": True}, "field 'fit' is a bool"),
        ({"epoch": 1.5}, "field 'epoch' is a float"),
        ({"index": []}, "field 'index' is a list"),
        ({"link": 5}, "field 'link' is a int"),
        ({"sections": []}, "field 'sections' is a list"),
        ({"sections": {"weights": 1}}, "a digest in it is not a text"),
        ({"sections": {"weights": None}}, "a digest in it is not a text"),
        ({"tensors": {"weights": "x"}}, "field 'digests' is a str"),
        ({"tensors": {"weights": {"k": ["x"]}}}, "a digest in it is not a text"),
        ({"latent": {"seeds": 5}}, "field 'digests' is a int"),
        ({"metrics": 0.5}, "field 'metrics' is a float"),
        ({"added": [1]}, "field 'added' is a list"),
        ({"shapes": {"k": 3}}, "field 'shapes' is a int"),
        ({"shapes": {"k": ["float32"]}}, "a shape in it is not valid"),
        ({"shapes": {"k": ["float32", 3]}}, "a shape in it is not valid"),
    ],
)
def test_invalid_records_are_refused(change, message):
    with pytest.raises(LedgerError, match=message):
        Record.from_dict(RECORDS["start"].to_dict() | change)


def test_record_without_a_kind_is_refused():
    with pytest.raises(LedgerError, match="field 'kind'"):
        Record.from_dict({"fit": 0})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.1), 0.10000000149011612),
        (np.int64(3), 3.0),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (np.array([1.0, math.nan]), [1.0, "nan"]),
        ({"a": (1, [2, None])}, {"a": [1.0, [2.0, None]]}),
        ("text", "text"),
        (True, True),
        (object(), "object"),
    ],
)
def test_special_numbers_are_strings_in_json(value, expected):
    plain = plain_number(value)
    assert plain == expected
    assert type(plain) is type(expected)
    json.dumps(plain, allow_nan=False)


def test_coverage_has_its_letters():
    assert set(COVERAGE) == set("smor")


STEPS = [
    StepRecord(fit=0, epoch=3, step=17, loss=0.25, state={"weights": D}),
    StepRecord(fit=1, epoch=0, step=0, loss="nan", state={"weights": D, "seeds": D}, extra={"new": D}),
    StepRecord(fit=0, epoch=0, step=2),
    StepRecord(fit=0, epoch=0, step=3, state={"weights": D}, batch={"order": D, "rows": D}),
]


@pytest.mark.parametrize("record", STEPS, ids=lambda r: str(r.step))
def test_step_records_round_trip(record):
    read = json.loads(json.dumps(record.to_dict() | {"n": 7, "check": "0" * 16}))
    assert StepRecord.from_dict(read) == record


def test_step_record_omits_empty_fields():
    assert STEPS[0].to_dict() == {
        "kind": "step",
        "fit": 0,
        "epoch": 3,
        "step": 17,
        "loss": 0.25,
        "state": {"weights": D},
    }


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"step": None}, "its field 'step' is a NoneType"),
        ({"step": -1}, "its field 'step' is not a number from 0"),
        ({"epoch": "1"}, "its field 'epoch' is a str"),
        ({"fit": True}, "its field 'fit' is a bool"),
        ({"loss": [1.0]}, "its field 'loss' is a list"),
        ({"state": [D]}, "its field 'state' is a list"),
        ({"state": {"weights": 3}}, "a digest in it is not a text"),
        ({"batch": D}, "its field 'batch' is a str"),
        ({"batch": {"rows": 3}}, "a digest in it is not a text"),
    ],
)
def test_invalid_step_records_are_refused(changed, message):
    with pytest.raises(LedgerError, match=re.escape(message)):
        StepRecord.from_dict(STEPS[0].to_dict() | changed)


def test_header_of_an_old_ledger_has_no_step_algorithm():
    written = Header().to_dict()
    assert written["step_algorithm"] == "xxh3-128"
    del written["step_algorithm"]
    assert Header.from_dict(written).step_algorithm == ""
