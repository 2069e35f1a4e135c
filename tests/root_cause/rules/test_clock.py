"""Trainings that end by the clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from keras_repro.comparison.divergence import Divergence
from keras_repro.root_cause.rules.clock import line_that_ends_by_clock, recorded_end_by_clock
from keras_repro.storage.trace_file import Interval, LineEvent

Script = Callable[[str], Path]

STOPS = """
    now = time.monotonic()
    if now > until:
        self.model.stop_training = True
"""
TENSORS = ({"section": "weights", "tensor": "k"}, {"section": "optimizer", "tensor": "optimizer/iterations"})
DIVERGED = Divergence(kind="epoch", fit=0, epoch=3, tensors=TENSORS)


def trace(file: Path, *deciding: int) -> list[Interval]:
    events = [
        LineEvent(file=str(file), line=line, digests={"continues at": "a"}, runs=((line, "a"),))
        for line in deciding
    ]
    return [Interval(context=tuple(events), checked=None)]


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (STOPS, 2),
        ("if time.time() > end:\n    self.model.stop_training = True\n", 1),
        ("while time.time() < end:\n    step()\n", 1),
        ("if time.time() > end:\n    print('late')\n", None),  # nothing ends
        ("if loss > worst:\n    self.model.stop_training = True\n", None),  # no clock
    ],
)
def test_line_that_ends_by_the_clock_is_found(script: Script, code: str, line: int | None) -> None:
    found = line_that_ends_by_clock(trace(script(code), line or 1))
    assert (found and found.line) == line


def test_none_of_several_lines_is_named(script: Script) -> None:
    file = script("while time.time() < a:\n    f()\nwhile time.time() < b:\n    g()\n")
    assert line_that_ends_by_clock(trace(file, 1, 3)) is None


def test_recorded_runs_with_different_numbers_of_steps_are_explained(script: Script) -> None:
    explanation = recorded_end_by_clock(trace(script(STOPS), 2), DIVERGED)
    assert explanation is not None
    assert (explanation.cause, explanation.subject) == ("configuration", "the number of steps")
    assert explanation.source is not None
    assert explanation.source.code == "if now > until:"
    assert explanation.evidence == ("the recorded runs differ in optimizer/iterations",)


def test_runs_with_the_same_number_of_steps_did_not_end_by_the_clock(script: Script) -> None:
    same = Divergence(kind="epoch", fit=0, epoch=3, tensors=TENSORS[:1])
    assert recorded_end_by_clock(trace(script(STOPS), 2), same) is None
    assert recorded_end_by_clock(trace(script(STOPS), 2), None) is None
