"""Complete an explanation: the tensors that differ, the line of the cause, and what to change in it."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from dataclasses import replace

from keras_repro.root_cause.diagnosis_case import SET_SEED, DiagnosisCase
from keras_repro.root_cause.explanation import Explanation
from keras_repro.root_cause.frames import frames
from keras_repro.root_cause.rules.applicable_fix import ONE_EACH, applicable_fix
from keras_repro.root_cause.suspects import OWN_GENERATORS, Suspect, shares, user_line
from keras_repro.source_code.dataflow import SourceModel
from keras_repro.source_code.fixes import suggest_fix, with_seed, with_seed_argument, with_seeding
from keras_repro.source_code.nondeterminism import DRAW, SOURCE, makes_generator, nondeterminism_level
from keras_repro.source_code.rewrite import rewritten
from keras_repro.source_code.statements import statement_text
from keras_repro.storage.trace_file import ConstructionEvent
from keras_repro.utils.source_line import SourceLine
from keras_repro.utils.text import first_few

_IN_ANY_ORDER = re.compile(r"\b(as_completed|imap_unordered)\(|deterministic\s*=\s*False")
_IN_ORDER = "collect results in submission order, for example with pool.map(...)"
_GIVE_A_SEED = "draw from a generator that was made with a seed, such as np.random.default_rng(42)"


def conclude(case: DiagnosisCase, explanation: Explanation) -> Explanation:
    """Return the explanation with its evidence, line and fix completed."""
    tensors = case.differing_tensors()
    source, fix = _line_and_fix(case, explanation)
    evidence = list(_evidence(case, explanation))
    if fix is None and _only_leftovers_explain(case, explanation.cause, source):
        names = _leftover_names(case)
        files = first_few(names, 3)
        evidence.append(f"an earlier run left {files}: nothing else is known to differ between the runs")
        source = _statement_with_path(case, names) or source
        fix = f"delete {files} before each run, or give each run a folder of its own"
    return replace(
        explanation,
        evidence=tuple(dict.fromkeys(evidence)),
        ruled_out=tuple(case.ruled_out),
        source=source,
        fix=applicable_fix(case, fix, source),
        variable=explanation.variable or (tensors[0][1] if tensors else None),
        race=_is_race(case, explanation, source, fix),
    )


def _is_race(
    case: DiagnosisCase, explanation: Explanation, source: SourceLine | None, fix: str | None
) -> bool:
    """Return whether the cause is the order of work in parallel: two runs that agree then prove little."""
    events = (event for interval in case.evidence.first for event in interval.context)
    if any("workers" in risk for e in events if isinstance(e, ConstructionEvent) for risk in e.risks):
        return True
    if explanation.cause == "environment" or case.running_thread() is not None:
        return True
    seeds = source is not None and "42" in (fix or "") and "42" not in source.code
    # Libraries load in a thread what a seed decides.
    parallel = ("in parallel",) if seeds else ("in parallel", "thread")
    if any(word in e for e in explanation.evidence for word in parallel):
        return True
    return source is not None and (
        any(s.source == source and s.raced for s in case.suspects)
        or _IN_ANY_ORDER.search(source.code) is not None
        or case.code.is_in_coroutine(source.file, source.line)
    )


def _evidence(case: DiagnosisCase, explanation: Explanation) -> Iterator[str]:
    tensors = case.differing_tensors()
    if tensors:
        # The tensor of the explanation comes first; a seed generator's has its time in its name.
        wanted = explanation.variable or tensors[0][1]
        tensors = sorted(tensors, key=lambda t: t[1] != wanted and not t[1].startswith(f"{wanted} "))
        shown = ", ".join(name for _, name in tensors[:3]) + (", ..." if len(tensors) > 3 else "")
        count = "1 tensor differs" if len(tensors) == 1 else f"{len(tensors)} tensors differ"
        yield f"{count}: {shown}"
        if explanation.subject is None:
            first, second = (digest[:16] if digest else "none" for digest in case.digests_of(*tensors[0]))
            yield f"digests of {tensors[0][1]}: {first} and {second}"
    yield from explanation.evidence
    yield from case.noticed
    if case.same_with_hash_seed:
        same = "under the conditions" if case.evidence.varied else "with the hash seed"
        yield f"a further run, {same} of the first, was identical to the first"
    for read in case.file_reads[:3]:
        yield f"{read.reads}: line {read.source.line} reads it, and an earlier run has written it"


def _line_and_fix(case: DiagnosisCase, explanation: Explanation) -> tuple[SourceLine | None, str | None]:
    source, fix = explanation.source, explanation.fix
    if source is not None:
        code = statement_text(source.file, source.line) or source.code
        source = SourceLine(file=source.file, line=source.line, code=code)
    if explanation.cause == "data_order" and not (source and nondeterminism_level(source.code)):
        unordered = case.code.only_statement(r"\b(as_completed|imap_unordered)\(")
        source, fix = (source, fix) if unordered is None else (unordered, None)
    hash_seed_only = case.same_with_hash_seed and not case.evidence.varied
    if hash_seed_only and source is not None and _only_draws(source.code):
        # A generator does not depend on hashes: another line decides its seed, or how often it is used.
        source, fix = _statement_with_set(case) or source, None
    elif hash_seed_only and source is not None:
        source, fix = _hash_behind(case, source, fix)
    read = next((r for r in case.file_reads if r.source == source), None)
    if read is not None:
        fix = f"delete {read.reads} before each run, or read a file that no run writes"
    if source is not None:
        statement, source = source, _narrowed(source)
        if source != statement and fix == suggest_fix(statement_text(statement.file, statement.line)):
            fix = suggest_fix(source.code) or fix
        fix = fix or _fix_for(case, explanation.cause, source)
    if fix in (None, _GIVE_A_SEED) and explanation.cause != "operation" and case.suspects:
        # The generator of the system has no state that could be compared.
        made = case.code.only_statement(r"\bSystemRandom\(\)")
        source, fix = (source, fix) if made is None else (made, suggest_fix(made.code))
    if fix is None and hash_seed_only and case.code.uses_hashes():
        fix = "iterate over sets in sorted(...) order, or start Python with PYTHONHASHSEED=0"
    return source, fix


def _only_leftovers_explain(case: DiagnosisCase, cause: str, source: SourceLine | None) -> bool:
    """Return whether only files of an earlier run are known to differ; a library may read them unseen."""
    return (
        bool(case.evidence.left)
        and cause != "operation"
        and not case.file_reads
        and not (source is not None and case.is_source(source))
        and not any(s.raced for s in case.suspects)
    )


def _leftover_names(case: DiagnosisCase) -> list[str]:
    """Return the files that an earlier run left, from the user's code; or the folder that they share."""
    top = os.path.commonpath([os.path.dirname(file) for file in case.files] or ["/"])
    names = sorted(os.path.relpath(file, top) for file in case.evidence.left)
    folders = {name.partition("/")[0] for name in names if "/" in name}
    in_one_folder = len(names) > 1 and len(folders) == 1 and all("/" in name for name in names)
    return [f"{folder}/" for folder in folders] if in_one_folder else names


def _statement_with_path(case: DiagnosisCase, names: list[str]) -> SourceLine | None:
    """Return the only statement that uses a path with one of these names; None if there is not just one."""
    texts = "|".join(re.escape(os.path.basename(name.rstrip("/"))) for name in names)
    path, only_names_it = re.compile(rf"[\"'/]({texts})[\"'/]"), re.compile(r"[\w ]+=\s*[\"'][^\"']*[\"']")
    return case.code.only_statement(lambda text: path.search(text) and not only_names_it.fullmatch(text))


def _fix_for(case: DiagnosisCase, cause: str, source: SourceLine) -> str | None:
    """Return the fix for a line for which no rule had one: by its text first, then by its effect."""
    suspects = [s for s in case.suspects if s.source == source]
    draws = nondeterminism_level(source.code) == DRAW
    for suspect in suspects:
        if suspect.seed_argument:
            call, argument = suspect.seed_argument
            return _with_import(with_seed_argument(source.code, call, argument), argument, source)
        if suspect.seeding:
            return with_seeding(source.code, suspect.seeding)
    fix = _fix_in_statement(case, source, suspects) or (with_seed(source.code) if suspects else None)
    if fix is not None:
        return fix
    in_coroutine = SourceModel({source.file}).is_in_coroutine(source.file, source.line)
    if draws and (in_coroutine or any(s.interval < 0 for s in suspects)):
        return ONE_EACH
    if any(s.raced for s in suspects):
        return ONE_EACH if draws else _IN_ORDER
    if any(OWN_GENERATORS & set(s.names) for s in suspects):
        return f"{SET_SEED}  # first of all"
    if suspects:
        fix = _GIVE_A_SEED if draws else _fix_of_loop(source)
    if fix is None and cause == "data_order":
        if shares(source.code) and in_coroutine:
            return (
                "return the value, and use the result of asyncio.gather(...), which keeps the order of calls"
            )
        if "sorted(" in source.code:
            return "sort by a key that is the same in each run: the present key is not"
    return fix


def _with_import(fix: str, argument: str, source: SourceLine) -> str:
    """Return a fix with an import of the package whose class its argument names, if the file has none."""
    package = re.search(r"=(\w+)\.", argument)
    nodes = [node for _, node in SourceModel({source.file}).nodes()]
    known = {(n.asname or n.name).partition(".")[0] for n in nodes if isinstance(n, ast.alias)}
    if package is None or package[1] in known or argument not in fix:
        return fix
    return f"{fix}  # with import {'numpy as np' if package[1] == 'np' else package[1]} first of all"


def _fix_in_statement(case: DiagnosisCase, source: SourceLine, suspects: list[Suspect]) -> str | None:
    """Return what to change in a line, or in the whole statement around it."""
    code = SourceModel(case.files | {source.file})
    sets = code.sets() | {name for s in suspects for name in s.sets}
    for text in dict.fromkeys((source.code, statement_text(source.file, source.line))):
        fix = suggest_fix(text, sets=sets, frames=frames(code))
        if fix is not None:
            return fix
    objects = code.sets(of_objects=True) & code.read_by(source.file, source.line)
    if not objects:
        return None
    return f"keep {min(objects)} in a list: a set of objects is ordered by their addresses"


def _narrowed(source: SourceLine) -> SourceLine:
    """Return the one line of a longer statement that is a source of nondeterminism; else the statement."""
    lines = SourceModel({source.file}).lines_of(source.file, source.line)
    sources = [(number, text) for number, text in lines if nondeterminism_level(text) == SOURCE]
    if len(lines) < 2 or len(sources) != 1:
        return source
    ((number, text),) = sources
    return replace(source, line=number, code=text)


def _hash_behind(case: DiagnosisCase, source: SourceLine, fix: str | None) -> tuple[SourceLine, str | None]:
    """Return the one line that gave a line the hash of a value; else the line with its fix."""
    at, hashes = (source.file, source.line), re.compile(r"(?<![\w.])hash\(").search
    names = case.code.read_by(*at)
    found = case.code.definitions_reaching(*at, names, draws=False, matches=hashes, anywhere=True)
    if len(found) != 1 or nondeterminism_level(source.code):
        return source, fix
    return user_line(*found.pop()), None


def _only_draws(code: str) -> bool:
    """Return whether a line makes a generator or draws from one, and contains no set and no hash."""
    if re.search(r"\b(hash|set|frozenset)\(", code):
        return False
    return makes_generator(code) or nondeterminism_level(code) == DRAW


def _statement_with_set(case: DiagnosisCase) -> SourceLine | None:
    """Return the only statement that iterates over a set or hashes a value, if there is just one."""
    sets = case.code.sets()
    return case.code.only_statement(
        lambda text: rewritten(text, is_nondeterministic=lambda _: False, sets=sets) not in (None, text)
    )


def _fix_of_loop(source: SourceLine) -> str | None:
    """Return what to change in the head of a loop around a line, if it is a source of nondeterminism."""
    for line in SourceModel({source.file}).loops_around(source.file, source.line):
        head = statement_text(source.file, line)
        if nondeterminism_level(head) == SOURCE:
            return suggest_fix(head)
    return None
