"""Which of the lines that brought forth other values is the one to fix.

Many lines differ once one does. The one to fix is the first of those that what went wrong was made of: its
names are followed back through the assignments of the user's code, as far as the code's text tells.
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
from keras_repro.storage.trace_file import Interval

# The process's own generators, which a line may draw from through a library.
_OWN = {"random", "np.random"}

# What stands for the names of a line that asked the system for randomness.
_ENTROPY = "the system's entropy"

# A draw from a generator that some line makes without a seed: between the levels `SOURCE` and `DRAW`.
_UNSEEDED = -1

_CLOCK = re.compile(
    r"\b(time|perf_counter|monotonic|process_time|time_ns|perf_counter_ns|strftime|ctime|now|utcnow|today)\("
)

# What puts something where other threads put theirs.
_SHARES = re.compile(r"\.(append|appendleft|extend|insert|add|update|put|put_nowait)\(|\]\s*=[^=]|[-+*/|&]=")


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A line of the user's code after which two runs held different values.

    Attributes:
        file: its file.
        line: its number, from 1.
        code: its text.
        names: those of its names whose values differ.
        interval: in which interval of the trace it did so first.
        raced: whether threads came by with the same values, in another order.
        reads: name of the file of an earlier run that it reads, empty where it reads none.
        sets: those of its names that held sets whose order is another one in each process.
    """

    file: str
    line: int
    code: str
    names: tuple[str, ...]
    interval: int
    raced: bool = False
    reads: str = ""
    sets: tuple[str, ...] = ()

    def is_at(self, source: Mapping[str, Any]) -> bool:
        """Whether it is this line."""
        return (self.file, self.line) == (source["file"], source["line"])

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"file": self.file, "line": self.line, "code": self.code}


def suspects_of(differences: Iterable[Mapping[str, Any]], *, cleared: Iterable[str] = ()) -> list[Suspect]:
    """The lines among the differences between two traces, in the order of their first difference.

    A line stands there once for each set of names that differed in it.

    Args:
        differences: `differences` of a parting.
        cleared: keys of lines that differ also between runs that did not part.
    """
    found: dict[tuple[str, tuple[str, ...]], Suspect] = {}
    known_innocent = set(cleared)
    lines = [d for d in differences if d["kind"] == "line"]
    for difference in sorted(lines, key=lambda d: (d["interval"], _first_seen(d))):
        if difference["key"] in known_innocent:
            continue
        mine, other = difference.get("mine"), difference.get("other")
        if mine is None:
            continue  # a line that only the other run came by is the consequence of another
        theirs = other["value"] if other is not None else {}
        names = tuple(n for n, digest in mine["value"].items() if theirs.get(n) != digest)
        info = mine["info"]
        names = names if other is not None else ()
        if names and _comes_to_the_same(info["file"], info["line"], set(names), set(mine["value"])):
            continue
        if (difference["key"], names) in found:
            continue
        found[difference["key"], names] = Suspect(
            file=info["file"],
            line=info["line"],
            code=statement_text(info["file"], info["line"]),
            names=names,
            interval=difference["interval"],
            sets=tuple(info.get("sets", ())),
        )
    return list(found.values())


def _comes_to_the_same(file: str, line: int, names: set[str], known: set[str]) -> bool:
    """Whether what differs in a statement is what it goes through only, not what it assigns or returns."""
    code = SourceModel({file})
    assigned = code.assigned_by(file, line)
    if assigned != {"return"}:
        names = names - {"return"}  # of a comprehension's own frame
    return (
        bool(assigned) and assigned <= known - names and code.are_comprehension_variables(file, line, names)
    )


def thread_suspects(first: Iterable[Interval], second: Iterable[Interval]) -> list[Suspect]:
    """The lines that brought forth other values outside of the main thread, run by run.

    Returns:
        Suspects of the interval -1, since threads go their own pace.
    """
    mine, theirs = _thread_runs(second), _thread_runs(first)
    found = []
    for (file, line), runs in mine.items():
        others = theirs.get((file, line), {})
        for number, digests in runs.items():
            if number in others and others[number] != digests:
                names = tuple(n for n, d in digests.items() if others[number].get(n) != d)
                code = statement_text(file, line)
                raced = any(_permuted(runs, others, name) for name in names)
                found.append(Suspect(file=file, line=line, code=code, names=names, interval=-1, raced=raced))
                break
    return found


def reading_suspects(differences: Iterable[Mapping[str, Any]], left: Collection[str]) -> list[Suspect]:
    """The lines that read a file of an earlier run, or one that had other bytes.

    Args:
        differences: `differences` of a parting.
        left: the files that an earlier run has made, and that were there for one of the two only.
    """
    found: dict[tuple[str, int], Suspect] = {}
    for difference in differences:
        mine, other = difference.get("mine"), difference.get("other")
        if difference["kind"] != "opened" or mine is None:
            continue
        file, source = mine["info"]["file"], mine["info"]["source"]
        if file not in left and other is None:
            continue  # a file of this run's own, by a name that is another one each time
        names = SourceModel({source["file"]}).set_by(source["file"], source["line"])
        found.setdefault(
            (source["file"], source["line"]),
            Suspect(
                file=source["file"],
                line=source["line"],
                code=statement_text(source["file"], source["line"]),
                names=tuple(sorted(names)) or ("read",),
                interval=difference["interval"],
                reads=os.path.basename(file),
            ),
        )
    return list(found.values())


def entropy_suspects(
    differences: Iterable[Mapping[str, Any]], *, cleared: Collection[str] = ()
) -> list[Suspect]:
    """The lines that asked the system for randomness.

    Args:
        differences: `differences` of a parting.
        cleared: keys of lines that did so also in runs that did not part.
    """
    found: dict[str, Suspect] = {}
    for difference in differences:
        if difference["kind"] == "entropy" and difference.get("mine") and difference["key"] not in cleared:
            source = difference["mine"]["info"]["source"]
            code = statement_text(source["file"], source["line"])
            found.setdefault(
                difference["key"],
                Suspect(
                    file=source["file"],
                    line=source["line"],
                    code=code,
                    names=(_ENTROPY,),
                    interval=difference["interval"],
                ),
            )
    return list(found.values())


def shares(code: str) -> bool:
    """Whether a line puts something where others put theirs."""
    return _SHARES.search(code) is not None


def _permuted(
    runs: Mapping[int, Mapping[str, str]], others: Mapping[int, Mapping[str, str]], name: str
) -> bool:
    """Whether a name had the same values in a line's runs, in another order."""
    mine, theirs = ([d.get(name, "") for _, d in sorted(held.items())] for held in (runs, others))
    return len(set(mine)) > 1 and sorted(mine) == sorted(theirs)


def _thread_runs(intervals: Iterable[Interval]) -> dict[tuple[str, int], dict[int, Mapping[str, str]]]:
    runs: dict[tuple[str, int], dict[int, Mapping[str, str]]] = {}
    for interval in intervals:
        for event in interval.soft:
            if event.kind == "thread line":
                held = runs.setdefault((event.info["file"], event.info["line"]), {})
                held.update(dict(event.info["seen"]))
    return runs


def _first_seen(difference: Mapping[str, Any]) -> int:
    """When the line ran for the first time with another outcome, as a count over all lines."""
    mine, other = difference.get("mine"), difference.get("other")
    if mine is None:
        return 0
    seen = mine["info"].get("seen") or [[0, ""]]
    theirs = (other or {}).get("info", {}).get("seen") or []
    for index, (count, digest) in enumerate(seen):
        if index >= len(theirs) or theirs[index][1] != digest:
            return int(count)
    return int(seen[-1][0])


def find_root_line(
    suspects: Sequence[Suspect],
    sinks: Iterable[Mapping[str, Any] | None],
    *,
    interval: int | None = None,
    files: Iterable[str] = (),
    strict: bool = False,
    seeded: Collection[str] = (),
) -> Suspect | None:
    """The first of the suspects that led to what went wrong.

    Args:
        suspects: in the order of their first difference.
        sinks: lines where it showed, each with `file` and `line`: the call of `fit`, the line that made a
            layer. Where none leads to a suspect, the first suspect that is not just a reading of the clock.
        interval: the interval whose own lines come before what they go back to.
        files: further files of the user's that names may be followed through.
        strict: whether to give None where no sink leads to a suspect.
        seeded: those of the process's own generators, `random` and `np.random`, that started from one state.
    """
    named = [s for s in suspects if s.names]
    lines = [s for s in sinks if s is not None]
    code = SourceModel({s.file for s in suspects} | {s["file"] for s in lines} | set(files))
    wanted = code.closure({name for sink in lines for name in code.read_by(sink["file"], sink["line"])})
    at = {(s["file"], code.first_line(s["file"], s["line"])) for s in lines}
    reached = [
        s
        for s in named
        if _roots(s.names) & wanted
        or code.is_in(s.file, s.line, wanted)
        or (s.file, s.line) in at
        or (_OWN & set(s.names) and code.set_by(s.file, s.line) & wanted)
    ]
    if reached:
        return _definition_behind(_chosen(reached, interval, code, seeded), code, seeded)
    if strict:
        return None
    timeless = [s for s in named if not _CLOCK.search(s.code)]
    return (
        _definition_behind(_chosen(timeless or named, interval, code, seeded), code, seeded)
        if named
        else None
    )


def _chosen(
    candidates: Sequence[Suspect], interval: int | None, code: SourceModel, seeded: Collection[str]
) -> Suspect:
    """The first whose text says where the chance comes from, those of one interval before others."""
    strength = {id(s): _strength(s, code, seeded) for s in candidates}
    order = [
        s
        for level in (SOURCE, _UNSEEDED, DRAW, RACE, NAME)
        for near in (True, False)
        for s in candidates
        if strength[id(s)] == level and (s.interval == interval) is near
    ]
    return next(iter([*order, *sorted(candidates, key=lambda s: only_waits(s.code))]))


def _strength(suspect: Suspect, code: SourceModel, seeded: Collection[str]) -> int:
    """How clearly a line is where the chance comes from."""
    own = _OWN & set(suspect.names)
    if own - set(seeded) or suspect.reads or _ENTROPY in suspect.names:
        return SOURCE
    if suspect.sets and iterates_over(suspect.code, suspect.sets):
        return SOURCE
    # A generator that differs, made of what does not.
    if makes_generator(suspect.code) and set(suspect.names) <= code.set_by(suspect.file, suspect.line):
        return SOURCE
    # Threads that come by in another order do no harm but where they share something.
    raced = suspect.raced and shares(suspect.code)
    strength = max(nondeterminism_level(suspect.code), DRAW if own else 0, RACE if raced else 0)
    if strength == DRAW and _generators_behind(suspect, code):
        return _UNSEEDED
    return strength


def _generators_behind(suspect: Suspect, code: SourceModel) -> set[tuple[str, int]]:
    """The lines that made what a line draws from, where they gave it no seed."""
    return code.definitions_reaching(
        suspect.file, suspect.line, set(suspect.names), draws=True, matches=makes_unseeded
    )


def _definition_behind(suspect: Suspect, code: SourceModel, seeded: Collection[str]) -> Suspect:
    """The one line that a line goes back to, where no value told; else that line itself.

    For a line that draws it is the one that made its generator without a seed: inside of a `partial`, or the
    system's own. For a line without chance it is the head of a definition: a decorator, a default.
    """
    strength = _strength(suspect, code, seeded)
    if strength not in (_UNSEEDED, DRAW, 0):
        return suspect
    where, names = (suspect.file, suspect.line), set(suspect.names)
    if strength:
        found = _generators_behind(suspect, code)
    elif code.is_in_coroutine(*where):
        # In which order coroutines go on shows first in any line of theirs.
        found = code.drawing_coroutines()
    else:
        found = code.definitions_reaching(*where, names, draws=False, matches=nondeterminism_level)
        if not found:  # a generator that is handed straight to something that shows no value
            found = code.definitions_reaching(
                *where, names, draws=False, matches=makes_unseeded, anywhere=True
            )
    if len(found) != 1:
        return suspect
    (file, line), *_ = found
    return replace(suspect, file=file, line=line, code=statement_text(file, line))


def _roots(names: Iterable[str]) -> set[str]:
    """Names as they can be looked for: `self.rng` as it is, `x.y` also as `x`."""
    listed = list(names)
    return set(listed) | {n.partition(".")[0] for n in listed if not n.startswith("self.")}
