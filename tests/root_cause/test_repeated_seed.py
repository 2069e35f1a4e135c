"""A constant seed in a line that runs again and again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from keras_repro.root_cause.repeated_seed import repeated_seed, seeds_by_constant
from keras_repro.storage.trace_file import EntropyEvent, Interval, LineEvent
from keras_repro.utils.source_line import SourceLine

Script = Callable[[str], Path]

SEEDED = [
    ("rng = default_rng()", "rng = default_rng(42)", ["default_rng"]),
    ("np.random.seed()", "np.random.seed(42)", ["seed"]),
    ("a, b = train_test_split(x)", "a, b = train_test_split(x, random_state=42)", ["train_test_split"]),
    ("x = f(rng=default_rng()),", "x = f(rng=default_rng(42)),", ["default_rng"]),
    ("for a in KFold(3).split(x):", "for a in KFold(3, random_state=4).split(x):", ["KFold"]),
    ("x = tf.random.normal(s)", "x = tf.random.stateless_normal(s, seed=(4, 2))", ["stateless_normal"]),
    ("rng = default_rng(7)", "rng = default_rng(7, x)", []),
    ("rng = default_rng()", "rng = default_rng(np.random.randint(2**31))", []),
    ("names = list(set(x))", "names = sorted(set(x))", []),
    ("what is not code", "neither is this", []),
]


@pytest.mark.parametrize(("old", "new", "names"), SEEDED)
def test_constant_seeds_are_found(old: str, new: str, names: list[str]) -> None:
    assert seeds_by_constant(old, new) == names


def ran(file: Path, line: int, times: int, **varied: tuple[int, int]) -> list[Interval]:
    event = LineEvent(
        file=str(file), line=line, digests={}, runs=tuple((i, "d") for i in range(times)), varied=varied
    )
    return [Interval(context=(event,), checked=None)]


def test_seed_in_a_line_that_runs_again_is_a_repetition(script: Script) -> None:
    file = script("def item():\n    rng = default_rng()\n    return rng\n")
    source = SourceLine(file=str(file), line=2, code="rng = default_rng()")
    reason = "the line runs 3 times, and would draw the same numbers each time"
    assert repeated_seed(ran(file, 2, 3, rng=(3, 3)), source, "rng = default_rng(42)") == reason
    assert repeated_seed(ran(file, 2, 1, rng=(1, 1)), source, "rng = default_rng(42)") is None
    assert repeated_seed(ran(file, 3, 3), source, "rng = default_rng(42)") is None
    first = "keras.utils.set_random_seed(42)  # first of all"
    assert repeated_seed(ran(file, 2, 3, rng=(3, 3)), source, first) is None
    drawn = "rng = default_rng(np.random.randint(2**31))"
    assert repeated_seed(ran(file, 2, 3, rng=(3, 3)), source, drawn) is None


def test_seed_that_was_the_same_each_time_may_become_a_number(script: Script) -> None:
    file = script("rng = default_rng(seed)\n")
    source = SourceLine(file=str(file), line=1, code="rng = default_rng(seed)")
    assert repeated_seed(ran(file, 1, 3, seed=(1, 3)), source, "rng = default_rng(42)") is None
    assert repeated_seed(ran(file, 1, 3, seed=(3, 3)), source, "rng = default_rng(42)") is not None


def test_several_generators_in_one_line_are_a_repetition(script: Script) -> None:
    file = script("rngs = [default_rng() for _ in range(2)]\n")
    source = SourceLine(file=str(file), line=1, code="rngs = [default_rng() for _ in range(2)]")
    asked = tuple(EntropyEvent(source=source, digest=d) for d in "ab")
    trace = [*ran(file, 1, 1), Interval(context=asked, checked=None)]
    assert repeated_seed(trace, source, source.code.replace("()", "(42)")) is not None


def test_stateless_draw_with_a_constant_in_a_function_is_a_repetition(script: Script) -> None:
    file = script("def f(x):\n    return tf.random.normal(x)\ny = tf.random.normal(3)\n")
    for line, refused in ((2, True), (3, False)):
        code = file.read_text().splitlines()[line - 1].strip()
        source = SourceLine(file=str(file), line=line, code=code)
        fix = code.replace("normal(", "stateless_normal(seed=(4, 2), shape=")
        assert (repeated_seed([], source, fix) is not None) == refused
