"""Check a fix against what the script has run.

A call that it has made already, in time, is no fix; nor is a seed for a line that runs again and again.
"""

from __future__ import annotations

import os
import re

from keras_repro.root_cause.diagnosis_case import SET_SEED, DiagnosisCase, seeds_set
from keras_repro.root_cause.repeated_seed import repeated_seed
from keras_repro.root_cause.rules.differing_seed import origin_of
from keras_repro.root_cause.suspects import OWN_GENERATORS
from keras_repro.source_code.fix_edit import placed_call
from keras_repro.source_code.fixes import with_constant, with_drawn_seed
from keras_repro.source_code.nondeterminism import sets_seed
from keras_repro.utils.source_line import SourceLine

ONE_EACH = (
    "give each piece of work a generator of its own, such as np.random.default_rng((42, epoch, number))"
)
_ONE_GENERATOR = "make a generator with a seed once, before the line runs, and draw each seed from it"

# A draw from a generator of the process that a fix may add.
_DRAWS = re.compile(r"\brandom\.(getrandbits|randrange|choice|randbytes|randint)\(")

SEEDS = "set_random_seed"
"""The function of Keras that seeds the generators of Python, NumPy and TensorFlow."""


def applicable_fix(case: DiagnosisCase, fix: str | None, source: SourceLine | None) -> str | None:
    """Return a fix, or what else to do if the script has run its call already; None if nothing is known.

    Args:
        case: the case.
        fix: code, with the place for it or an alternative after `#`; or advice in words.
        source: the line to fix.
    """
    placed = placed_call(fix or "")
    if fix is None or placed is None:  # a changed line, or advice
        repeats = source is not None and fix and repeated_seed(case.evidence.first, source, fix)
        if source is None or fix is None or not repeats:
            return _with_seed_first(case, fix, source)
        return _seeded_once(case, fix, source)
    code, place = placed
    if not code.startswith(("keras.", "tf.")):
        return fix  # the call of a library that the script has not made
    called = code.partition("(")[0].rpartition(".")[2]
    line = _first_line_that_calls(case, called)
    if line is not None and source is not None and _seed_comes_from(case, line, source):
        constant = with_constant(source.code)
        return constant or f"take a constant, such as 42, for the seed that {_place(line)} sets"
    if line is not None and source is not None and _ran_before(case, source, line):
        return f"{line.code}  # move it up: {_place(line)} runs after {_place(source)}"
    has_run = line is not None
    if called == SEEDS and not has_run:
        in_a_library = seeds_set(case).get("keras") is not None
        has_run = in_a_library or (source is not None and _draws_seeded(case, source.code))
    return _alternative(place) if has_run else fix


def _seed_comes_from(case: DiagnosisCase, line: SourceLine, source: SourceLine) -> bool:
    """Return whether a line sets a seed that another one draws."""
    setting = [s for s in case.suspects if s.at == (line.file, line.line) and sets_seed(s.source.code)]
    return any(set(s.names) - OWN_GENERATORS and origin_of(case, s) == source for s in setting)


def _seeded_once(case: DiagnosisCase, fix: str, source: SourceLine) -> str:
    """Return a fix with other draws each time the line runs; advice if none is known."""
    seed_first = applicable_fix(case, f"{SET_SEED}  # first of all", source)
    drawn = with_drawn_seed(fix)
    lines = case.code.lines_of(source.file, source.line) or [(source.line, source.code)]
    if any((source.file, number) in case.thread_lines for number, _ in lines):
        return ONE_EACH
    if drawn is not None:
        return _with_seed_first(case, drawn, source) or drawn
    return seed_first or _ONE_GENERATOR


def _with_seed_first(case: DiagnosisCase, fix: str | None, source: SourceLine | None) -> str | None:
    """Return a fix with a seed for the generator of the process from which it draws, if none is set."""
    if fix is None or source is None or _DRAWS.search(source.code) or not _DRAWS.search(fix):
        return fix
    first = applicable_fix(case, f"{SET_SEED}  # first of all", source)
    is_set = first is None or "  # with " in fix
    return fix if is_set else f"{fix}  # with {SET_SEED} first of all"


def _place(line: SourceLine) -> str:
    return f"{os.path.basename(line.file)}:{line.line}"


def _alternative(place: str) -> str | None:
    return place.partition(", or ")[2] or None


def _draws_seeded(case: DiagnosisCase, code: str) -> bool:
    """Return whether a line names a generator of the process, other than Keras's, that a seed has set."""
    generator = re.search(r"\b(?:np|numpy|tf)\.random\b|\brandom\b(?=\.)", code)
    if generator is None:
        return False
    name = generator[0].replace("numpy", "np")
    return name in case.seeded or (name == "tf.random" and seeds_set(case).get("tensorflow") is not None)


def _first_line_that_calls(case: DiagnosisCase, called: str) -> SourceLine | None:
    """Return the line that called a function first, None if no line of the user's has."""
    pattern = re.compile(rf"\b{called}\(")
    lines = sorted(case.first_runs, key=lambda at: case.first_runs[at])
    texts = ((at, case.code.text_at(*at)) for at in lines)
    found = ((at, text) for at, text in texts if pattern.search(text))
    return next((SourceLine(file=file, line=line, code=text) for (file, line), text in found), None)


def _ran_before(case: DiagnosisCase, source: SourceLine, line: SourceLine) -> bool:
    """Return whether the source first gave a different value before another line ran."""
    at = source.file, case.code.first_line(source.file, source.line)
    counts = [s.count for s in case.suspects if s.at in (at, (source.file, source.line)) and s.count] or [
        case.first_runs.get(at, 0)
    ]
    return 0 < min(counts) < case.first_runs[line.file, line.line]
