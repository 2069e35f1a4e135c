"""The progress of the runs of a verification, followed in a ledger that grows."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from keras_repro.ledger.schema import Header, Record
from keras_repro.ledger.writer import LedgerWriter
from keras_repro.processes.child import Outcome
from keras_repro.report.console.progress import DiagnosisWatcher, ProgressWatcher
from keras_repro.report.console.terminal import make_console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def epoch(ledger: LedgerWriter, fit: int, number: int) -> None:
    ledger.append(Record(kind="epoch", fit=fit, epoch=number, sections={"weights": "00"}))


def fit(ledger: LedgerWriter, number: int, epochs: int | None) -> None:
    arguments = {} if epochs is None else {"epochs": epochs}
    ledger.append(Record(kind="fit", fit=number, sections={"fit": "00"}, extra={"arguments": arguments}))


def test_pipe_gets_one_line_per_run(here: Path) -> None:
    file = io.StringIO()
    with ProgressWatcher(make_console(file), 2) as watcher:
        for number, epochs in enumerate((3, 1)):
            folder = here / "runs [bold]" / f"run-{number + 1}"
            watcher.on_start(number, folder / "ledger.jsonl")
            watcher.on_poll(number)
            with LedgerWriter.create(folder, Header()) as ledger:
                fit(ledger, 0, epochs)
                for done in range(epochs):
                    epoch(ledger, 0, done)
                    watcher.on_poll(number)
            watcher.on_end(number, Outcome(0, 7.25))
    assert file.getvalue() == (
        "run 1/2: 7.2 s, 3 epochs, runs [bold]/run-1/ledger.jsonl\n"
        "run 2/2: 7.2 s, 1 epoch, runs [bold]/run-2/ledger.jsonl\n"
    )


def test_run_without_a_ledger_names_none(here: Path) -> None:
    file = io.StringIO()
    with ProgressWatcher(make_console(file), 3) as watcher:
        watcher.on_start(0, here / "run-1" / "ledger.jsonl")
        watcher.on_end(0, Outcome(1, 0.1))
    assert file.getvalue() == "run 1/3: 0.1 s, 0 epochs\n"


def test_terminal_shows_position_and_time_left(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    monkeypatch.setenv("TERM", "xterm")
    # A fake clock: ten seconds pass at each reading.
    clock = iter(range(0, 100_000, 10))
    monkeypatch.setattr("keras_repro.report.console.progress.time.monotonic", lambda: next(clock))
    file = Terminal()
    with ProgressWatcher(make_console(file), 2) as watcher:

        def look(number: int) -> str:
            watcher.on_poll(number)
            assert watcher._task is not None
            task = next(t for t in watcher._progress.tasks if t.id == watcher._task)
            return f"{task.description} {task.fields['epochs']} {task.fields['left']}".strip()

        watcher.on_start(0, here / "run-1" / "ledger.jsonl")
        assert look(0) == "run 1/2 starting"
        with LedgerWriter.create(here / "run-1", Header()) as ledger:
            assert look(0) == "run 1/2 starting"
            fit(ledger, 0, 4)
            assert look(0) == "run 1/2 epoch 0/4"
            epoch(ledger, 0, 0)
            # 1 of 4 epochs after 20 s of training and 60 s in all: 60 s more, and a whole second run.
            assert re.fullmatch(r"run 1/2 epoch 1/4 about \d+ min( \d+ s)? left", look(0))
            epoch(ledger, 0, 1)
            fit(ledger, 1, None)
            assert look(0).startswith("run 1/2 fit 2, epoch 0/?")
        watcher.on_end(0, Outcome(0, 100.0))
        watcher.on_start(1, here / "run-2" / "ledger.jsonl")
        # The estimate is the time of the first run: 100 s minus the 10 that have passed.
        assert look(1) == "run 2/2 starting about 1 min 30 s left"
        watcher.on_end(1, Outcome(0, 100.0))
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue()).replace("\r", "\n").splitlines()
    assert "run 1/2: 100.0 s, 2 epochs, run-1/ledger.jsonl" in [line.strip() for line in lines]


def test_incomplete_line_is_read_later(here: Path) -> None:
    file = io.StringIO()
    with LedgerWriter.create(here / "run", Header()) as ledger:
        fit(ledger, 0, 2)
        epoch(ledger, 0, 0)
        epoch(ledger, 0, 1)
    whole = (here / "run" / "ledger.jsonl").read_bytes()
    path = here / "growing.jsonl"
    with ProgressWatcher(make_console(file), 2) as watcher:
        watcher.on_start(0, path)
        for size in range(0, len(whole), 40):
            path.write_bytes(whole[:size])
            assert watcher._tail is not None
            watcher._tail.read()
        path.write_bytes(whole)
        watcher.on_end(0, Outcome(0, 1.0))
    assert file.getvalue() == "run 1/2: 1.0 s, 2 epochs, growing.jsonl\n"


def test_each_training_of_a_diagnosis_is_announced_with_an_estimate(here: Path) -> None:
    file = io.StringIO()
    with DiagnosisWatcher(make_console(file), 4, 80.0) as watcher:
        for number, seconds in enumerate((100.0, 60.0, 90.0)):
            watcher.on_start(number, here / "1" / "ledger.jsonl")
            watcher.on_poll(number)
            watcher.on_end(number, Outcome(0, seconds))
    assert file.getvalue() == (
        "diagnosing: training 1 of at most 4, about 1 min 20 s\n"
        "diagnosing: training 2 of at most 4, about 1 min 40 s\n"
        "diagnosing: training 3 of at most 4, about 1 min 20 s\n"
    )
    file = io.StringIO()
    with DiagnosisWatcher(make_console(file), 4) as watcher:
        watcher.on_start(0, here / "1" / "ledger.jsonl")
    assert file.getvalue() == "diagnosing: training 1 of at most 4\n"


def test_terminal_shows_the_time_left_of_a_diagnosis(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    monkeypatch.setenv("TERM", "xterm")
    file = Terminal()
    with DiagnosisWatcher(make_console(file), 2, 600.0) as watcher:
        watcher.on_start(0, here / "1" / "ledger.jsonl")
        watcher.on_poll(0)
    assert "training 1/2" in file.getvalue()
    assert "about 20 min 0 s left" in file.getvalue()
