"""Choose the line to fix among the lines whose values differ.

Once one line differs, many do. The data flow is followed backwards from the line where the difference showed,
through the assignments of the user's code, as far as static analysis allows. Of the lines that it reaches,
the first source of nondeterminism is chosen.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from keras_repro.root_cause.suspects import (
    ENTROPY,
    OWN_GENERATORS,
    Suspect,
    shares,
    unseeded_generators,
    user_line,
)
from keras_repro.source_code.dataflow import SourceModel
from keras_repro.source_code.nondeterminism import (
    DRAW,
    NAME,
    RACE,
    SOURCE,
    makes_generator,
    makes_seeded,
    makes_unseeded,
    nondeterminism_level,
    only_waits,
    reads_clock,
    sets_seed,
)
from keras_repro.source_code.rewrite import iterates_over
from keras_repro.utils.source_line import SourceLine

# A draw from a generator that was made without a seed: between the levels `SOURCE` and `DRAW`.
_UNSEEDED = -1


def find_root_line(
    suspects: Sequence[Suspect],
    sinks: Iterable[SourceLine | None],
    *,
    interval: int | None = None,
    files: Iterable[str] = (),
    strict: bool = False,
    seeded: Mapping[str, int] = MappingProxyType({}),
) -> Suspect | None:
    """Return the first suspect from which the sinks were computed.

    Args:
        suspects: in the order of their first difference.
        sinks: lines where the difference showed: the call of `fit`, the line that constructed a layer. If
            none is computed from a suspect, the first suspect is returned that does not only read the clock.
        interval: the interval whose own lines are preferred.
        files: further files of the user through which names are followed.
        strict: whether to return None if no sink is computed from a suspect.
        seeded: for each of the process's own generators that a seed set, how many lines had run by then.
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
        or ({*OWN_GENERATORS, ENTROPY} & set(s.names) and code.set_by(*s.at) & wanted)
    ]
    if not reached and not strict:
        reached = [s for s in named if not reads_clock(s.source.code)] or named
    if not reached:
        return None
    differing = {s.at for s in named}
    return _definition_behind(_strongest(reached, interval, code, seeded, differing), code, seeded)


def _strongest(
    candidates: Sequence[Suspect],
    interval: int | None,
    code: SourceModel,
    seeded: Mapping[str, int],
    differing: Collection[tuple[str, int]],
) -> Suspect:
    """Return the clearest source of nondeterminism; of equal ones, one of the interval, then the first."""
    levels = (SOURCE, _UNSEEDED, DRAW, RACE, NAME)
    ranked = [
        (levels.index(level), s.interval != interval, index)
        for index, s in enumerate(candidates)
        if (level := _level(s, code, seeded)) in levels
        and not (level == DRAW and _draws_seeded(s, code, differing))
    ]
    if ranked:
        return candidates[min(ranked)[2]]
    return min(candidates, key=lambda s: only_waits(s.source.code))


def _level(suspect: Suspect, code: SourceModel, seeded: Mapping[str, int]) -> int:
    """Return how clearly a line is a source of nondeterminism."""
    text = suspect.source.code
    seeds = sets_seed(text)
    own = set() if seeds else OWN_GENERATORS & set(suspect.names)
    if (unseeded_generators(suspect, seeded) and not seeds) or suspect.reads or ENTROPY in suspect.names:
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


def _draws_seeded(suspect: Suspect, code: SourceModel, differing: Collection[tuple[str, int]]) -> bool:
    """Return whether a line draws only from generators that were made the same: another line is the cause.

    In threads and coroutines, the order of draws may be the cause.

    Args:
        suspect: the line.
        code: the user's files.
        differing: file and number of each line with different values.
    """
    if suspect.interval < 0 or suspect.raced or code.is_in_coroutine(*suspect.at):
        return False
    if OWN_GENERATORS & set(suspect.names):
        return False
    made = code.definitions_reaching(*suspect.at, set(), draws=True, matches=makes_generator)
    if not made:  # it may make its generator itself
        return makes_seeded(suspect.source.code)
    return not made & {suspect.at, *differing}


def _definition_behind(suspect: Suspect, code: SourceModel, seeded: Mapping[str, int]) -> Suspect:
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
        if not definitions:  # a value that is passed to a method of such an object, as a default of an option
            definitions = code.definitions_reaching(
                *suspect.at, names, draws=False, matches=_passes_source, anywhere=True
            )
    if len(definitions) != 1:
        return suspect
    ((file, line),) = definitions
    return replace(suspect, source=user_line(file, line))


def _passes_source(code: str) -> bool:
    """Return whether a statement is only a call with a source of nondeterminism among its arguments."""
    return re.match(r"[\w.]+\(", code) is not None and nondeterminism_level(code) == SOURCE


def _roots(names: Iterable[str]) -> set[str]:
    """Return names as they are assigned: `self.rng` unchanged, `x.y` also as `x`."""
    listed = list(names)
    return set(listed) | {n.partition(".")[0] for n in listed if not n.startswith("self.")}
