"""The lines of the user's code after which two processes had different values."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_repro.source_code.dataflow import SourceModel
from keras_repro.source_code.nondeterminism import sets_seed
from keras_repro.source_code.statements import statement_text
from keras_repro.storage.divergence_report import Difference, differences_of
from keras_repro.storage.trace_file import (
    ContextEvent,
    EntropyEvent,
    FileReadEvent,
    Interval,
    LineEvent,
    ThreadLineEvent,
)
from keras_repro.utils.source_line import SourceLine

# The process's own generators, as names of a line that draws from them, perhaps through a library.
OWN_GENERATORS = {"random", "np.random"}

# The name of a line that asked the system for randomness.
ENTROPY = "the system's entropy"

# Adds to something that other threads may share.
_SHARES = re.compile(r"\.(append|appendleft|extend|insert|add|update|put|put_nowait)\(|\]\s*=[^=]|[-+*/|&]=")


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A line of the user's code after which two processes had different values.

    Attributes:
        source: the line.
        names: those of its names whose values differ.
        interval: number of the interval of its first difference, -1 in threads.
        raced: whether threads reached it with the same values in another order.
        reads: name of the file of an earlier run that it reads, empty if it reads none.
        sets: those of its names that held sets whose order differs between processes.
        seed_argument: a call in it that makes a generator, and an argument that seeds it; else empty.
        seeding: a call that seeds the object with the generator; else empty.
        count: how many lines had run when its values differed first, 0 if that is not known.
    """

    source: SourceLine
    names: tuple[str, ...]
    interval: int
    raced: bool = False
    reads: str = ""
    sets: tuple[str, ...] = ()
    seed_argument: tuple[str, ...] = ()
    seeding: str = ""
    count: int = 0

    @property
    def at(self) -> tuple[str, int]:
        """Its file and number."""
        return self.source.file, self.source.line


def line_suspects(
    differences: Iterable[Difference[ContextEvent]], *, cleared: Collection[tuple[Any, ...]] = ()
) -> list[Suspect]:
    """Return the lines with different values, in the order of their first difference.

    A line is returned once for each set of names that differed in it.

    Args:
        differences: from a report.
        cleared: keys of lines that also differ between processes that agree.
    """
    suspects: dict[tuple[Any, ...], Suspect] = {}
    lines = differences_of(differences, LineEvent)
    for difference in sorted(lines, key=lambda d: (d.interval, _first_different_run(d))):
        event, reference = difference.event, difference.reference
        if event is None or event.key in cleared:
            continue  # a line that only the first process ran is the consequence of another
        names: tuple[str, ...] = ()
        if reference is not None:
            names = tuple(n for n, d in event.digests.items() if reference.digests.get(n) != d)
            if names and _has_same_result(event, set(names)):
                continue
        suspects.setdefault(
            (event.key, names),
            Suspect(
                source=user_line(event.file, event.line),
                names=names,
                interval=difference.interval,
                sets=event.sets,
                count=_first_different_run(difference),
            ),
        )
    return list(suspects.values())


def user_line(file: str, line: int) -> SourceLine:
    """Return a line of the user's with the text of its statement."""
    return SourceLine(file=file, line=line, code=statement_text(file, line))


def _has_same_result(event: LineEvent, names: set[str]) -> bool:
    """Return whether only the loop variables of a comprehension differ, not what it assigns or returns."""
    code = SourceModel({event.file})
    assigned = code.assigned_by(event.file, event.line)
    if assigned != {"return"}:
        names = names - {"return"}  # of the comprehension's own frame
    return (
        bool(assigned)
        and assigned <= event.digests.keys() - names
        and code.are_comprehension_variables(event.file, event.line, names)
    )


def thread_suspects(first: Iterable[Interval], second: Iterable[Interval]) -> list[Suspect]:
    """Return the lines with different values outside the main thread, compared run by run."""
    references = _thread_runs(first)
    suspects = []
    for at, runs in _thread_runs(second).items():
        others = references.get(at, {})
        different = (n for n in runs if n in others and others[n] != runs[n])
        number = next(different, None)
        if number is not None:
            names = tuple(n for n, digest in runs[number].items() if others[number].get(n) != digest)
            raced = any(_are_permuted(runs, others, name) for name in names)
            suspects.append(Suspect(source=user_line(*at), names=names, interval=-1, raced=raced))
    return suspects


def file_suspects(differences: Iterable[Difference[ContextEvent]], left: Collection[str]) -> list[Suspect]:
    """Return the lines that read a file of an earlier run, or a file with different content.

    Args:
        differences: from a report.
        left: files that an earlier run has written, and that existed for one of the processes only.
    """
    suspects: dict[SourceLine, Suspect] = {}
    for difference in differences_of(differences, FileReadEvent):
        event = difference.event
        if event is None:
            continue
        if event.path not in left and difference.reference is None:
            continue  # a file of this run, whose name differs in each run
        file, line = event.source.file, event.source.line
        names = SourceModel({file}).set_by(file, line)
        suspects.setdefault(
            event.source,
            Suspect(
                source=user_line(file, line),
                names=tuple(sorted(names)) or ("read",),
                interval=difference.interval,
                reads=os.path.basename(event.path),
            ),
        )
    return list(suspects.values())


def entropy_suspects(
    differences: Iterable[Difference[ContextEvent]], *, cleared: Collection[tuple[Any, ...]] = ()
) -> list[Suspect]:
    """Return the lines that asked the system for randomness.

    Args:
        differences: from a report.
        cleared: keys of lines that also did so in processes that agree.
    """
    suspects: dict[SourceLine, Suspect] = {}
    for difference in differences_of(differences, EntropyEvent):
        event = difference.event
        if event is not None and event.key not in cleared:
            at = event.made or event.source
            source = user_line(at.file, at.line)
            known = suspects.get(source)
            if known is None or not (known.seed_argument or known.seeding):
                suspects[source] = Suspect(
                    source=source,
                    names=(ENTROPY,),
                    interval=difference.interval if known is None else known.interval,
                    seed_argument=(event.call, event.argument) if event.call else (),
                    seeding=event.seeding,
                )
    return list(suspects.values())


def seeded_generators(first_trace: Sequence[Interval], second_trace: Sequence[Interval]) -> dict[str, int]:
    """Return the process's own generators that once had the same state in both processes.

    Each has the number of lines that had run in the second process by then: a seed set it.
    """
    first, second = (
        {
            (event.key, name, event.digests[name]): event.runs[0][0] if event.runs else 0
            for interval in reversed(trace)
            for event in interval.context
            if isinstance(event, LineEvent)
            for name in OWN_GENERATORS & event.digests.keys()
        }
        for trace in (first_trace, second_trace)
    )
    seeded: dict[str, int] = {}
    for key in first.keys() & second.keys():
        seeded[key[1]] = min(second[key], seeded.get(key[1], sys.maxsize))
    return seeded


def differing_seeds(suspects: Iterable[Suspect]) -> dict[str, int]:
    """Return the process's own generators that a line set to a seed that differs.

    Each has the number of lines that had run by then.
    """
    setting = [s for s in suspects if sets_seed(s.source.code)]
    return {name: s.count for s in reversed(setting) for name in OWN_GENERATORS & set(s.names)}


def unseeded_generators(suspect: Suspect, seeded: Mapping[str, int]) -> set[str]:
    """Return the process's own generators from which a line drew before a seed set them, if one did.

    Args:
        suspect: the line.
        seeded: for each generator that a seed set, how many lines had run by then.
    """
    own = OWN_GENERATORS & set(suspect.names)
    return {name for name in own if name not in seeded or suspect.count < seeded[name]}


def shares(code: str) -> bool:
    """Return whether a line adds to something that other threads may share."""
    return _SHARES.search(code) is not None


_Runs = dict[int, Mapping[str, str]]  # digests by name, by number of the run


def _are_permuted(runs: _Runs, others: _Runs, name: str) -> bool:
    """Return whether a name had the same values in a line's runs, in another order."""
    first, second = ([d.get(name, "") for _, d in sorted(r.items())] for r in (runs, others))
    return len(set(first)) > 1 and sorted(first) == sorted(second)


def _thread_runs(intervals: Iterable[Interval]) -> dict[tuple[str, int], _Runs]:
    runs: dict[tuple[str, int], _Runs] = {}
    for interval in intervals:
        for event in interval.context:
            if isinstance(event, ThreadLineEvent):
                runs.setdefault((event.file, event.line), {}).update(event.runs)
    return runs


def _first_different_run(difference: Difference[LineEvent]) -> int:
    """Return when the line first ran with another result, as a count over all lines."""
    event, reference = difference.event, difference.reference
    if event is None:
        return 0
    others = () if reference is None else reference.runs
    for index, (count, digest) in enumerate(event.runs):
        if index >= len(others) or others[index][1] != digest:
            return count
    return event.runs[-1][0] if event.runs else 0
