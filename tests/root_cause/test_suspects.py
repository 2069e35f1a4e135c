"""The lines with different values: draws, files of an earlier run, sets, threads that race."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_repro.root_cause.root_line import find_root_line
from keras_repro.root_cause.suspects import (
    entropy_suspects,
    file_suspects,
    line_suspects,
    thread_suspects,
)
from keras_repro.storage.divergence_report import Difference
from keras_repro.storage.trace_file import (
    ContextEvent,
    EntropyEvent,
    FileReadEvent,
    Interval,
    LineEvent,
    ThreadLineEvent,
)
from keras_repro.utils.source_line import SourceLine

Script = Callable[[str], Path]


def runs(*digests: str) -> list[Interval]:
    event = ThreadLineEvent(
        file="a.py", line=3, runs=tuple((i, {"item": d}) for i, d in enumerate(digests, start=1))
    )
    return [Interval(context=(event,), checked=None)]


def test_threads_that_reach_a_line_in_another_order_are_a_race() -> None:
    assert [s.raced for s in thread_suspects(runs("a", "b", "c"), runs("b", "a", "c"))] == [True]
    assert [s.raced for s in thread_suspects(runs("a", "b", "c"), runs("a", "d", "c"))] == [False]
    assert thread_suspects(runs("a", "b"), runs("a", "b")) == []


def test_line_that_only_the_first_process_ran_is_not_a_suspect() -> None:
    event = LineEvent(file="a.py", line=1, digests={}, runs=())
    assert line_suspects([Difference(interval=0, event=None, reference=event)]) == []


# --- lines that read files of an earlier run


def _file_read(script: Path, line: int, path: str, *, in_both: bool) -> Difference[ContextEvent]:
    source = SourceLine(file=str(script), line=line)
    event, reference = (FileReadEvent(path=path, source=source, digest=digest) for digest in ("aa", "bb"))
    return Difference(interval=0, event=event, reference=reference if in_both else None)


def test_lines_that_read_files_of_an_earlier_run_are_suspects(script: Script) -> None:
    file = script("""
        weights = load('last.npy')
        model.load_weights('w.h5')
        x = load('tmp8f3a.npy')
        fit(weights)
    """)
    differences = [
        _file_read(file, 1, "/w/last.npy", in_both=False),
        _file_read(file, 2, "/w/w.h5", in_both=True),
        _file_read(file, 3, "/w/tmp8f3a.npy", in_both=False),  # a name that only this run has
    ]
    suspects = file_suspects(differences, {"/w/last.npy"})
    assert [(s.source.line, s.reads, s.names) for s in suspects] == [
        (1, "last.npy", ("weights",)),
        (2, "w.h5", ("model",)),
    ]
    assert find_root_line(suspects, [SourceLine(file=str(file), line=4)], strict=True) == suspects[0]


# --- seeded and unseeded generators


def line(
    file: Path, number: int, digests: dict[str, str], reference: dict[str, str], *, sets: tuple[str, ...] = ()
) -> Difference[ContextEvent]:
    at: dict[str, Any] = {"file": str(file), "line": number, "sets": sets}
    return Difference(
        interval=0,
        event=LineEvent(digests=digests, runs=((number, "x"),), **at),
        reference=LineEvent(digests=reference, runs=(), **at),
    )


SETS = """
    for choice in list(others)[:1]:
        words.append(choice)
    known = sorted({w for ws in table for w in ws})
    model.fit(words, known)
"""


def test_line_that_iterates_over_a_set_comes_first(script: Script) -> None:
    file = script(SETS)
    chosen = line(file, 1, {"choice": "a"}, {"choice": "b"}, sets=("others",))
    later = line(file, 2, {"words": "a"}, {"words": "b"})
    suspects = line_suspects([chosen, later])
    first = find_root_line(suspects, [SourceLine(file=str(file), line=4)])
    assert first is not None
    assert first.source.line == 1
    assert suspects[0].sets == ("others",)


def test_another_order_with_the_same_result_is_not_a_suspect(script: Script) -> None:
    file = script(SETS)
    same = line(file, 3, {"w": "a", "known": "k", "return": "r"}, {"w": "b", "known": "k", "return": "s"})
    assert line_suspects([same]) == []
    other = line(file, 3, {"w": "a", "known": "k"}, {"w": "b", "known": "l"})
    assert [s.source.line for s in line_suspects([other])] == [3]
    unknown = line(file, 3, {"w": "a"}, {"w": "b"})  # a result without a digest may differ
    assert [s.source.line for s in line_suspects([unknown])] == [3]


# --- lines without a recorded value


def test_line_that_asks_the_system_is_a_source(script: Script) -> None:
    file = script("""
        def shake(layer, rng=None):
            layer.assign(noise(rng))
        model.fit(x)
    """)
    source = SourceLine(file=str(file), line=2)
    event, reference = (EntropyEvent(source=source, digest=digest) for digest in "ab")
    difference: Difference[ContextEvent] = Difference(interval=1, event=event, reference=reference)
    (entropy,) = entropy_suspects([difference, difference])
    assert (entropy.source.line, entropy.source.code, entropy.interval) == (2, "layer.assign(noise(rng))", 1)
    assert find_root_line([entropy], [SourceLine(file=str(file), line=3)]) == entropy
    assert entropy_suspects([difference], cleared={event.key}) == []
    assert entropy_suspects([Difference(interval=1, event=None, reference=reference)]) == []
