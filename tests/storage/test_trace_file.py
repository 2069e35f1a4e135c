"""The trace of a diagnosing process: what was written comes back, also from one that was killed."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from keras_repro.errors import LedgerError
from keras_repro.storage.trace_file import Event, Interval, TraceWriter, read_trace

LINE = Event(kind="line", key="train.py:3", value={"x": "00ff"}, info={"line": 3})
BATCH = Event(kind="batch", key="0 0 0", value={"0": "11"}, info={"rows": ["a", "b"]})
BEGIN = Event(kind="begin", key="0 0 0", value={"weights": {"kernel": "ab"}})
END = Event(kind="end", key="0 0 0", value={"weights": {"kernel": "cd"}})


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "trace.jsonl"
    with contextlib.closing(TraceWriter(path)) as writer:
        writer.soft(LINE)
        writer.hard(BEGIN)
        writer.soft(BATCH)
        writer.soft(LINE)
        writer.hard(END)
    return path


def test_events_come_back_interval_by_interval(written: Path) -> None:
    assert list(read_trace(written)) == [
        Interval(soft=(LINE,), hard=BEGIN),
        Interval(soft=(BATCH, LINE), hard=END),
    ]


@pytest.mark.parametrize("event", [LINE, BATCH, BEGIN, Event(kind="fit", key="ä\n\ud800", value=None)])
def test_an_event_is_read_back(event: Event) -> None:
    assert Event.from_dict(json.loads(json.dumps(event.to_dict()))) == event


def test_what_is_said_of_an_event_is_not_compared() -> None:
    assert LINE.same(Event(kind="line", key="train.py:3", value={"x": "00ff"}, info={"line": 99}))
    assert not LINE.same(Event(kind="line", key="train.py:3", value={"x": "00fe"}))
    assert not LINE.same(Event(kind="line", key="train.py:4", value={"x": "00ff"}))
    assert not LINE.same(Event(kind="batch", key="train.py:3", value={"x": "00ff"}))


def test_soft_events_at_the_end_have_no_hard_one(written: Path) -> None:
    with open(written, "a") as file:
        file.write(json.dumps({"hard": False, **LINE.to_dict()}) + "\n")
    assert list(read_trace(written))[2:] == [Interval(soft=(LINE,), hard=None)]


def test_a_hard_event_is_in_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    writer = TraceWriter(path)
    writer.soft(LINE)
    writer.hard(BEGIN)
    assert [i.hard for i in read_trace(path)] == [BEGIN]
    writer.close()


def test_an_older_trace_is_replaced(written: Path) -> None:
    TraceWriter(written).close()
    assert list(read_trace(written)) == []


def test_every_torn_last_line_is_dropped(written: Path) -> None:
    text = written.read_text()
    last = text.splitlines()[-1]
    whole = list(read_trace(written))
    for torn in range(1, len(last) + 1):
        written.write_text(text[: len(text) - torn])
        found = list(read_trace(written))
        assert found[0] == whole[0]
        assert found[1:] == [Interval(soft=(BATCH, LINE), hard=None)]


@pytest.mark.parametrize(
    "damage",
    [
        "{",
        "[]",
        "3",
        "null",
        '{"hard": true}',
        '{"hard": true, "kind": "end", "key": "0 0 0"}',
        '{"hard": false, "kind": "end", "key": "0 0 0", "info": {}}',
        "",
        "\x00\x00",
        "ä",
    ],
)
def test_any_other_damage_is_said(written: Path, damage: str) -> None:
    lines = written.read_text().splitlines()
    lines[2] = damage
    written.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(LedgerError, match=r"trace\.jsonl is damaged at line 3$"):
        list(read_trace(written))


def test_a_trace_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"cannot read .*trace\.jsonl: No such file or directory"):
        list(read_trace(tmp_path / "trace.jsonl"))
