"""Check a fix against what the script has run: a call that it has made already, in time, is no fix."""

from __future__ import annotations

import os
import re

from keras_repro.root_cause.diagnosis_case import DiagnosisCase, seeds_set
from keras_repro.utils.source_line import SourceLine

SEEDS = "set_random_seed"
"""The function of Keras that seeds the generators of Python, NumPy and TensorFlow."""


def applicable_fix(case: DiagnosisCase, fix: str | None, source: SourceLine | None) -> str | None:
    """Return a fix, or what else to do if the script has run its call already; None if nothing is known.

    Args:
        case: the case.
        fix: code, with the place for it or an alternative after `#`; or advice in words.
        source: the line to fix.
    """
    code, _, place = (fix or "").partition("  # ")
    if fix is None or not place or re.fullmatch(r"[\w.]+\(.*\)", code) is None:
        return fix  # a changed line, or advice
    called = code.partition("(")[0].rpartition(".")[2]
    line = _first_line_that_calls(case, called)
    if line is not None and source is not None and _ran_before(case, source, line):
        return f"{line.code}  # move it up: {_place(line)} runs after {_place(source)}"
    has_run = line is not None
    if called == SEEDS and not has_run:
        in_a_library = seeds_set(case).get("keras") is not None
        has_run = in_a_library or (source is not None and _draws_seeded(case, source.code))
    return _alternative(place) if has_run else fix


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
    at = source.file, source.line
    counts = [s.count for s in case.suspects if s.at == at and s.count] or [case.first_runs.get(at, 0)]
    return 0 < min(counts) < case.first_runs[line.file, line.line]
