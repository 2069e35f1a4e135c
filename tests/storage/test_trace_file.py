"""The trace of a diagnosing process: events are read back, also after the process was killed."""

from __future__ import annotations

import contextlib
import json
import typing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keras_repro.errors import LedgerError
from keras_repro.storage.trace_file import (
    BatchEvent,
    CallEvent,
    CheckedEvent,
    ConstructionEvent,
    ContextEvent,
    DataEvent,
    EntropyEvent,
    FileReadEvent,
    FitEvent,
    HookEvent,
    Interval,
    LineEvent,
    RecordEvent,
    StepBeginEvent,
    StepEndEvent,
    StepPosition,
    ThreadLineEvent,
    TraceWriter,
    VariableEvent,
    WeightsEvent,
    read_trace,
)
from keras_repro.utils.source_line import SourceLine

FIRST = StepPosition(0, 0, 0)
SOURCE = SourceLine(file="train.py", line=3, code="x = 1", function="main")
LINE = LineEvent(file="train.py", line=3, digests={"x": "00ff"}, runs=((1, "aa"), (2, "bb")), sets=("x",))
BATCH = BatchEvent(position=FIRST, parts={"0": "11"}, rows=("a", "b"))
BEGIN = StepBeginEvent(position=FIRST, tensors={"weights": {"kernel": "ab"}})
END = StepEndEvent(position=FIRST, tensors={"weights": {"kernel": "cd"}})
EVENTS: list[CheckedEvent | ContextEvent] = [
    LINE,
    BATCH,
    BEGIN,
    END,
    RecordEvent(position="epoch 0 1", record_kind="epoch", tensors={"metrics": {"loss": "ab"}}),
    RecordEvent(
        position="fit 0", record_kind="fit", tensors={}, sections={"start": "cd"}, seeds_set={"keras": 3}
    ),
    ThreadLineEvent(file="train.py", line=4, runs=((1, {"y": "aa"}), (2, {}))),
    FitEvent(position="ä\n\ud800", data={"digest": "a"}, validation_data=None, configuration=[], arguments=1),
    DataEvent(position="evaluation 0", data=None),
    WeightsEvent(method="predict", digest=None),
    CallEvent(method="fit", source=SOURCE),
    VariableEvent(name="kernel", digest="ab", layer="Dense", source=SOURCE),
    VariableEvent(name="state", digest="ab", optimizer="Adam", is_seed=True),
    HookEvent(callback="Own", hook="on_epoch_end", sections={"weights": "ab"}, source=SOURCE),
    ConstructionEvent(what="map", source=SOURCE, risks=("Python code",)),
    EntropyEvent(source=SOURCE, digest="ab"),
    FileReadEvent(path="/data/x.npy", source=SOURCE, digest="ab"),
]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.jsonl"
    with contextlib.closing(TraceWriter(path)) as writer:
        for event in (LINE, BEGIN, BATCH, LINE, END):
            writer.write(event)
    return path


def test_events_are_read_back_by_interval(trace: Path) -> None:
    assert list(read_trace(trace)) == [
        Interval(context=(LINE,), checked=BEGIN),
        Interval(context=(BATCH, LINE), checked=END),
    ]


def test_every_kind_of_event_is_tested() -> None:
    kinds = typing.get_args(CheckedEvent) + typing.get_args(ContextEvent)
    assert {type(event) for event in EVENTS} == set(kinds)
    assert len({kind.tag for kind in kinds}) == len(kinds)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_event_is_read_back(event: CheckedEvent | ContextEvent, tmp_path: Path) -> None:
    data = json.loads(json.dumps(event.to_dict()))
    restored = type(event).from_dict(data)
    assert restored == event
    assert restored.to_dict() == event.to_dict()  # also fields that equality ignores
    with contextlib.closing(TraceWriter(tmp_path / "trace.jsonl")) as writer:
        writer.write(event)
    (interval,) = read_trace(tmp_path / "trace.jsonl")
    assert (interval.checked or interval.context[0]) == event
    assert (interval.checked is None) == isinstance(event, ContextEvent)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"runs": ((9, "cc"),), "sets": ()}, True),
        ({"digests": {"x": "00fe"}}, False),
        ({"line": 4}, False),
        ({"file": "other.py"}, False),
    ],
)
def test_events_match_if_identity_and_compared_value_agree(change: dict[str, Any], same: bool) -> None:
    assert LINE.matches(replace(LINE, **change)) is same


def test_events_of_different_kinds_do_not_match() -> None:
    assert not BEGIN.matches(StepEndEvent(position=FIRST, tensors=BEGIN.tensors))
    assert not LINE.matches(BATCH)


def test_context_events_at_the_end_have_no_checked_event(trace: Path) -> None:
    with open(trace, "a") as file:
        file.write(json.dumps(LINE.to_dict()) + "\n")
    assert list(read_trace(trace))[2:] == [Interval(context=(LINE,), checked=None)]


def test_checked_event_is_in_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    writer = TraceWriter(path)
    writer.write(LINE)
    writer.write(BEGIN)
    assert [i.checked for i in read_trace(path)] == [BEGIN]
    writer.close()


def test_older_trace_is_replaced(trace: Path) -> None:
    TraceWriter(trace).close()
    assert list(read_trace(trace)) == []


def test_every_torn_last_line_is_ignored(trace: Path) -> None:
    text = trace.read_text()
    last = text.splitlines()[-1]
    complete = list(read_trace(trace))
    for torn in range(1, len(last) + 1):
        trace.write_text(text[: len(text) - torn])
        intervals = list(read_trace(trace))
        assert intervals[0] == complete[0]
        assert intervals[1:] == [Interval(context=(BATCH, LINE), checked=None)]


@pytest.mark.parametrize(
    "damage",
    [
        "{",
        "[]",
        "3",
        "null",
        "{}",
        '{"tag": "end", "position": {"fit": 0, "epoch": 0, "step": 0}}',
        '{"tag": "end", "position": {"fit": 0, "epoch": 0}, "tensors": {}}',
        '{"tag": "end", "position": "0 0 0", "tensors": {}}',
        '{"tag": "end", "position": {"fit": 0, "epoch": 0, "step": 0}, "tensors": {"weights": "ab"}}',
        '{"tag": "unknown"}',
        '{"tag": []}',
        '{"tag": "line", "file": "a", "line": "3", "digests": {}, "runs": []}',
        '{"tag": "line", "file": "a", "line": 3, "digests": {}, "runs": [[1]]}',
        "",
        "\x00\x00",
        "ä",
    ],
)
def test_any_other_damage_is_an_error(trace: Path, damage: str) -> None:
    lines = trace.read_text().splitlines()
    lines[2] = damage
    trace.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(LedgerError, match=r"trace\.jsonl is damaged at line 3$"):
        list(read_trace(trace))


def test_missing_trace_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"no trace at .*trace\.jsonl"):
        list(read_trace(tmp_path / "trace.jsonl"))
