"""What holds for all explanations: the tensors that differ, the whole statement, and what to change in it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from keras_repro.root_cause.evidence import SET_SEED, DiagnosisCase
from keras_repro.root_cause.explanation import Explanation
from keras_repro.root_cause.suspects import shares
from keras_repro.source_code.dataflow import SourceModel
from keras_repro.source_code.fixes import suggest_fix, with_seed
from keras_repro.source_code.nondeterminism import DRAW, SOURCE, makes_generator, nondeterminism_level
from keras_repro.source_code.rewrite import rewritten
from keras_repro.source_code.statements import statement_text

_IN_ORDER = "take the results in the order in which the work was given, such as pool.map(...) gives them"
_ONE_EACH = "give each piece of work a generator of its own, such as np.random.default_rng((42, number))"
_GIVE_A_SEED = "draw from a generator that was made with a seed, such as np.random.default_rng(42)"


def conclude(case: DiagnosisCase, found: Explanation) -> Explanation:
    """The explanation with what holds for all of them: tensors, hash seed, and what was ruled out."""
    evidence = [*found.evidence, *case.noticed]
    tensors = case.tensors()
    if tensors:
        shown = ", ".join(n for _, n in tensors[:3]) + (", ..." if len(tensors) > 3 else "")
        many = "1 tensor differs" if len(tensors) == 1 else f"{len(tensors)} tensors differ"
        evidence.insert(0, f"{many} there: {shown}")
        evidence.insert(1, _digests(case, *tensors[0]))
    if case.same_with_hash_seed:
        same = "in the surroundings" if case.evidence.varied else "with the hash seed"
        evidence.append(f"a further run, {same} of the first, did the same as the first")
    for read in case.reads[:3]:
        evidence.append(f"{read.reads}: line {read.line} reads it, and a run before has written it")
    source = found.source
    if source is not None:
        source = {
            "file": source["file"],
            "line": source["line"],
            "code": statement_text(source["file"], source["line"]) or source.get("code", ""),
        }
    fix = found.fix
    if found.cause == "data_order" and not (source and nondeterminism_level(str(source["code"]))):
        came = _as_they_come(case.files)
        source, fix = (came, None) if came is not None else (source, fix)
    of_hashes = case.same_with_hash_seed and not case.evidence.varied
    if of_hashes and source is not None and _only_draws(str(source["code"])):
        # A generator knows of no hashes: its seed, or how often it is drawn from, another line decides.
        source, fix = _through_a_set(case.files) or source, None
    read_there = next((r for r in case.reads if source and r.is_at(source)), None)
    if read_there is not None:
        fix = f"begin each run without {read_there.reads}, or read a file that no run writes"
    if source is not None:
        whole, source = source["line"], _narrowed(source)
        if source["line"] != whole and fix == suggest_fix(statement_text(source["file"], whole)):
            fix = suggest_fix(str(source["code"])) or fix
    if fix is None and source is not None:
        fix = _what_to_change(case, found.cause, source)
    if fix is None and of_hashes and SourceModel(set(case.files)).uses_hashes():
        fix = "go through sets in sorted(...) order, or start Python with PYTHONHASHSEED=0"
    variable = found.variable or (tensors[0][1] if tensors else None)
    return replace(
        found,
        evidence=tuple(dict.fromkeys(evidence)),
        ruled_out=tuple(case.ruled_out),
        source=source,
        fix=fix,
        variable=variable,
    )


def _what_to_change(case: DiagnosisCase, cause: str, source: Mapping[str, Any]) -> str | None:
    """The fix for a line that no rule had one for: by its text first, then by what it did."""
    code, suspect = str(source["code"]), _is_suspect(case, source)
    drawing = nondeterminism_level(code) == DRAW
    fix = _fix_of(case, source) or (with_seed(code) if suspect else None)
    if fix is not None:
        return fix
    if _draws_in_threads(case, source):
        return _ONE_EACH
    if _is_suspect(case, source, raced=True):
        return _ONE_EACH if drawing else _IN_ORDER
    if _draws(case, source):
        return f"{SET_SEED}  # first of all"
    if suspect:
        fix = _GIVE_A_SEED if drawing else _fix_of_loops(source)
    return fix or (_fix_of_order(case, source) if cause == "data_order" else None)


def _digests(case: DiagnosisCase, section: str, tensor: str) -> str:
    """The two digests of a tensor that differs."""
    found = []
    for event in (case.other, case.event):
        held = ((event or {}).get("value") or {}).get(section) or {}
        digest = held.get(tensor) if isinstance(held, Mapping) else held
        found.append(str(digest)[:16] if digest else "not there")
    return f"digests of {tensor}: {found[0]} and {found[1]}"


def _fix_of(case: DiagnosisCase, source: Mapping[str, Any]) -> str | None:
    """What to change in a line, or in the whole of the statement that it belongs to."""
    code = SourceModel(set(case.files) | {source["file"]})
    whole = statement_text(source["file"], source["line"])
    held = {n for s in case.suspects if s.is_at(source) for n in s.sets}
    for text in dict.fromkeys((str(source["code"]), whole)):
        fix = suggest_fix(text, sets=code.sets() | held)
        if fix is not None:
            return fix
    objects = code.sets(of_objects=True) & code.read_by(source["file"], source["line"])
    return (
        f"keep {min(objects)} in a list: a set goes through objects by their addresses" if objects else None
    )


def _fix_of_order(case: DiagnosisCase, source: Mapping[str, Any]) -> str | None:
    """What to do where results are put together as they come, or files go by names of chance."""
    code = SourceModel({source["file"]})
    if shares(str(source["code"])) and code.is_in_coroutine(source["file"], source["line"]):
        return "return it, and take what asyncio.gather(...) gives: that keeps the order of the calls"
    if "sorted(" in str(source["code"]):
        return "sort by something that repeats: what it sorts by is another one in each run"
    return None


def _draws(case: DiagnosisCase, source: Mapping[str, Any]) -> bool:
    """Whether a line draws from the process's own generators."""
    at = (source["file"], source["line"])
    return any((s.file, s.line) == at and {"random", "np.random"} & set(s.names) for s in case.suspects)


def _is_suspect(case: DiagnosisCase, source: Mapping[str, Any], *, raced: bool = False) -> bool:
    at = source["file"], source["line"]
    return any((s.file, s.line) == at and s.raced >= raced for s in case.suspects)


def _draws_in_threads(case: DiagnosisCase, source: Mapping[str, Any]) -> bool:
    """Whether a line draws in other threads than the main one, or in coroutines."""
    if nondeterminism_level(str(source["code"])) != DRAW:
        return False
    if SourceModel({source["file"]}).is_in_coroutine(source["file"], source["line"]):
        return True
    return any(s.interval < 0 and s.is_at(source) for s in case.suspects)


def _narrowed(source: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one line of a statement over several lines that names a source of chance; else the statement."""
    lines = SourceModel({source["file"]}).lines_of(source["file"], source["line"])
    telling = [(n, text) for n, text in lines if nondeterminism_level(text) == SOURCE]
    if len(lines) < 2 or len(telling) != 1:
        return source
    ((number, text),) = telling
    return {**source, "line": number, "code": text}


def _as_they_come(files: Iterable[str]) -> Mapping[str, Any] | None:
    """The one line that takes the results of work as they come, if there is just one."""
    return SourceModel(set(files)).only_statement(r"\b(as_completed|imap_unordered)\(")


def _only_draws(code: str) -> bool:
    """Whether a line makes a generator or draws from one, and names no set and no hash itself."""
    if re.search(r"\b(hash|set|frozenset)\(", code):
        return False
    return makes_generator(code) or nondeterminism_level(code) == DRAW


def _through_a_set(files: Collection[str]) -> Mapping[str, Any] | None:
    """The one line that goes through a set, or takes the hash of something, if there is just one."""
    code = SourceModel(set(files))
    sets = code.sets()
    return code.only_statement(
        lambda text: rewritten(text, is_nondeterministic=lambda _: False, sets=sets) not in (None, text)
    )


def _fix_of_loops(source: Mapping[str, Any]) -> str | None:
    """What to change in the head of a loop that a line stands in, where it names a source of chance."""
    for line in SourceModel({source["file"]}).loops_around(source["file"], source["line"]):
        head = statement_text(source["file"], line)
        if nondeterminism_level(head) == SOURCE:
            return suggest_fix(head)
    return None
