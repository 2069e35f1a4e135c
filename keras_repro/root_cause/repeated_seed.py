"""Recognize a fix that sets the same seed again and again: each of its draws would be the same.

>>> seeds_by_constant("rng = default_rng()", "rng = default_rng(42)")
['default_rng']
>>> seeds_by_constant("n = default_rng(7).normal()", "n = default_rng(7).normal(size=3)")
[]
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from keras_repro.source_code.fix_edit import placed_call
from keras_repro.source_code.nondeterminism import GENERATOR_NAMES, GENERATORS
from keras_repro.source_code.statements import SourceFile, last_name
from keras_repro.storage.trace_file import EntropyEvent, Interval, LineEvent, ThreadLineEvent
from keras_repro.utils.source_line import SourceLine

_SEEDING = {*GENERATOR_NAMES, "SeedGenerator", "from_seed", "seed", "set_seed", "set_random_seed"}
_SEED_KEYWORDS = ("seed", "random_state", "rng")
# Operations that draw the same numbers each time from the same seed.
_STATELESS = re.compile(r"stateless_\w+$")


def repeated_seed(trace: Iterable[Interval], source: SourceLine, fix: str) -> str | None:
    """Return why a fix of a line draws the same numbers again and again; None if it does not.

    Args:
        trace: of a process without the fix.
        source: the line, with the text of its statement.
        fix: the changed statement. A call in another place does not run with the line.
    """
    seeded = [] if placed_call(fix) else seeds_by_constant(source.code, fix)
    if not seeded:
        return None
    file = SourceFile(source.file)
    if any(map(_STATELESS.match, seeded)) and _is_in_function(file, source.line):
        return f"{seeded[0]} would draw the same numbers each time"
    runs, varied, asked = _runs_of(trace, source, {source.line, *file.statement_lines(source.line)})
    if runs < 2 and asked < 2:
        return None
    given = re.search(rf"\b(?:{GENERATORS}|seed)\(?\s*=?\s*([A-Za-z_][\w.]*)\s*[,)]", source.code)
    if given is not None and given[1] != "None" and varied.get(given[1], 1) < 2:
        return None  # it was the same seed each time before
    if asked < 2 and any(varied.values()) and max(varied.values()) < 2:
        return None
    return f"the line runs {max(runs, asked)} times, and would draw the same numbers each time"


def seeds_by_constant(old: str, new: str) -> list[str]:
    """Return the names of calls that get a constant seed in changed code only."""
    added = Counter(_seeded_by_constant(new))
    added.subtract(Counter(_seeded_by_constant(old)))
    return [name for name, count in added.items() if count > 0]


def _seeded_by_constant(code: str) -> Iterable[str]:
    for text in (code, f"{code}\n    pass", f"({code.rstrip(',')})"):
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        break
    else:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = last_name(node)
            seeds = [k.value for k in node.keywords if k.arg in _SEED_KEYWORDS]
            if name in _SEEDING:
                seeds += node.args[:1]
            if any(_is_constant(seed) for seed in seeds):
                yield name


def _is_constant(node: ast.AST) -> bool:
    if isinstance(node, ast.Tuple | ast.List):
        return all(map(_is_constant, node.elts))
    return isinstance(node, ast.Constant) and node.value is not None


def _is_in_function(file: SourceFile, line: int) -> bool:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    return any(
        isinstance(node, kinds) and node.lineno <= line <= (node.end_lineno or node.lineno)
        for node in ast.walk(file.tree)
    )


def _runs_of(
    trace: Iterable[Interval], source: SourceLine, lines: set[int]
) -> tuple[int, Mapping[str, int], int]:
    """Return how often a line ran, how many values its names had, and how often it asked for entropy."""
    runs = 0
    varied: dict[str, int] = {}
    asked: set[str] = set()
    for event in (event for interval in trace for event in interval.context):
        if (
            isinstance(event, LineEvent | ThreadLineEvent)
            and event.file == source.file
            and event.line in lines
        ):
            runs += len(event.runs)
            varied |= {name: counts[0] for name, counts in event.varied.items()}
        elif isinstance(event, EntropyEvent) and event.source.file == source.file:
            asked |= {event.digest} if event.source.line in lines else set()
    return runs, varied, len(asked)
