"""Choose the line to fix among the lines whose values differ.

Once one line differs, many do. The data flow is followed backwards from the line where the difference showed,
through the assignments of the user's code, as far as static analysis allows. Of the lines that it reaches,
the first source of nondeterminism is chosen.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keras_repro.source_code.dataflow import SourceModel
from keras_repro.source_code.nondeterminism import (
    DRAW,
    NAME,
    RACE,
    SOURCE,
    makes_generator,
    makes_unseeded,
    nondeterminism_level,
    only_waits,
)
from keras_repro.source_code.rewrite import iterates_over
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
_ENTROPY = "the system's entropy"

# A draw from a generator that was made without a seed: between the levels `SOURCE` and `DRAW`.
_UNSEEDED = -1

_CLOCK = re.compile(
    r"\b(time|perf_counter|monotonic|process_time|time_ns|perf_counter_ns|strftime|ctime|now|utcnow|today)\("
)

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
    """

    source: SourceLine
    names: tuple[str, ...]
    interval: int
    raced: bool = False
    reads: str = ""
    sets: tuple[str, ...] = ()

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
                source=_line(event.file, event.line),
                names=names,
                interval=difference.interval,
                sets=event.sets,
            ),
        )
    return list(suspects.values())


def _line(file: str, line: int) -> SourceLine:
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
            suspects.append(Suspect(source=_line(*at), names=names, interval=-1, raced=raced))
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
                source=_line(file, line),
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
            source = _line(event.source.file, event.source.line)
            suspects.setdefault(
                source, Suspect(source=source, names=(_ENTROPY,), interval=difference.interval)
            )
    return list(suspects.values())


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


def find_root_line(
    suspects: Sequence[Suspect],
    sinks: Iterable[SourceLine | None],
    *,
    interval: int | None = None,
    files: Iterable[str] = (),
    strict: bool = False,
    seeded: Collection[str] = (),
) -> Suspect | None:
    """Return the first suspect from which the sinks were computed.

    Args:
        suspects: in the order of their first difference.
        sinks: lines where the difference showed: the call of `fit`, the line that constructed a layer. If
            none is computed from a suspect, the first suspect is returned that does not only read the clock.
        interval: the interval whose own lines are preferred.
        files: further files of the user through which names are followed.
        strict: whether to return None if no sink is computed from a suspect.
        seeded: those of the process's own generators that started from the same state.
    """
    named = [s for s in suspects if s.names]
    lines = [s for s in sinks if s is not None]
    code = SourceModel({s.source.file for s in suspects} | {s.file for s in lines} | set(files))
    wanted = code.closure({name for sink in lines for name in code.read_by(sink.file, sink.line)})
    statements = {(s.file, code.first_line(s.file, s.line)) for s in lines}
    reached = [
        s
        for s in named
        if _roots(s.names) & wanted
        or code.is_in(*s.at, wanted)
        or s.at in statements
        or (OWN_GENERATORS & set(s.names) and code.set_by(*s.at) & wanted)
    ]
    if not reached and not strict:
        reached = [s for s in named if not _CLOCK.search(s.source.code)] or named
    if not reached:
        return None
    return _definition_behind(_strongest(reached, interval, code, seeded), code, seeded)


def _strongest(
    candidates: Sequence[Suspect], interval: int | None, code: SourceModel, seeded: Collection[str]
) -> Suspect:
    """Return the clearest source of nondeterminism; of equal ones, one of the interval, then the first."""
    levels = (SOURCE, _UNSEEDED, DRAW, RACE, NAME)
    ranked = [
        (levels.index(level), s.interval != interval, index)
        for index, s in enumerate(candidates)
        if (level := _level(s, code, seeded)) in levels
    ]
    if ranked:
        return candidates[min(ranked)[2]]
    return min(candidates, key=lambda s: only_waits(s.source.code))


def _level(suspect: Suspect, code: SourceModel, seeded: Collection[str]) -> int:
    """Return how clearly a line is a source of nondeterminism."""
    text = suspect.source.code
    own = OWN_GENERATORS & set(suspect.names)
    if own - set(seeded) or suspect.reads or _ENTROPY in suspect.names:
        return SOURCE
    if suspect.sets and iterates_over(text, suspect.sets):
        return SOURCE
    # A generator that differs, made from values that agree.
    if makes_generator(text) and set(suspect.names) <= code.set_by(*suspect.at):
        return SOURCE
    # The order of threads matters only if they share something.
    raced = suspect.raced and shares(text)
    level = max(nondeterminism_level(text), DRAW if own else 0, RACE if raced else 0)
    if level == DRAW and _unseeded_generators(suspect, code):
        return _UNSEEDED
    return level


def _unseeded_generators(suspect: Suspect, code: SourceModel) -> set[tuple[str, int]]:
    """Return the lines that made the generators from which a line draws, if they gave them no seed."""
    return code.definitions_reaching(*suspect.at, set(suspect.names), draws=True, matches=makes_unseeded)


def _definition_behind(suspect: Suspect, code: SourceModel, seeded: Collection[str]) -> Suspect:
    """Return the one definition to which a line goes back without a recorded value; else the line itself.

    For a line that draws, it is the line that made its generator without a seed: in a `partial`, or the
    system's own. For another line it is the head of a definition: a decorator, a default.
    """
    level = _level(suspect, code, seeded)
    if level not in (_UNSEEDED, DRAW, 0):
        return suspect
    names = set(suspect.names)
    if level:
        definitions = _unseeded_generators(suspect, code)
    elif code.is_in_coroutine(*suspect.at):
        # The order of coroutines may show first in any of their lines.
        definitions = code.drawing_coroutines()
    else:
        definitions = code.definitions_reaching(*suspect.at, names, draws=False, matches=nondeterminism_level)
        if not definitions:  # a generator that is passed straight to an object without recorded values
            definitions = code.definitions_reaching(
                *suspect.at, names, draws=False, matches=makes_unseeded, anywhere=True
            )
    if len(definitions) != 1:
        return suspect
    ((file, line),) = definitions
    return replace(suspect, source=_line(file, line))


def _roots(names: Iterable[str]) -> set[str]:
    """Return names as they are assigned: `self.rng` unchanged, `x.y` also as `x`."""
    listed = list(names)
    return set(listed) | {n.partition(".")[0] for n in listed if not n.startswith("self.")}
