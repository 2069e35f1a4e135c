"""Two records side by side: were they the same training, and if not, where did they part.

>>> comparison = compare("check/run-1", "check/run-2")
>>> comparison.verdict, comparison.divergence       # else "diverged" and where, or "incomparable"
('identical', None)
>>> comparison.runs[0]["fingerprint"]
'kr1-smr-eef309e0a75b157847097b0ddc043253'

Reads both ledgers line by line; needs no TensorFlow.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

from keras_repro.comparison.distances.layer_distances import distances
from keras_repro.comparison.distances.summary import how_far
from keras_repro.comparison.divergence import Divergence
from keras_repro.comparison.grade import grade
from keras_repro.comparison.ledger_cause import CompareContext, environment_differences
from keras_repro.comparison.notes import (
    HASH_SEEDS_DIFFER,
    caps_in_words,
    copy_notes,
    coverage_in_words,
    latent_notes,
    limit_notes,
)
from keras_repro.comparison.record_diff import difference, ended_how, fits_in, incomparable_headers
from keras_repro.comparison.result import Comparison, Verdict
from keras_repro.comparison.step_diff import locate_step
from keras_repro.errors import LedgerError
from keras_repro.ledger.reader import LedgerReader, open_ledger
from keras_repro.ledger.schema import Record


def compare(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    *,
    noise: Sequence[str | os.PathLike[str]] = (),
) -> Comparison:
    """Compares two recorded runs.

    Args:
        a: a run folder or a ledger.
        b: the other one.
        noise: further runs of the same script with other seeds, at least three: how much of a difference in
            results only the seeds make, for the grade `statistical`.

    Raises:
        LedgerError: one of them cannot be read.
        ReproError: the runs for the noise cannot be used.
    """
    return compare_all([a, b], noise=noise)


def compare_all(
    runs: Sequence[str | os.PathLike[str]],
    *,
    same_script: bool = False,
    noise: Sequence[str | os.PathLike[str]] = (),
) -> Comparison:
    """Compares runs with the first of them, and reports the earliest difference.

    Args:
        runs: at least two run folders or ledgers.
        same_script: whether they come from one script started again: another structure is then a
            divergence with the cause `configuration`, and not `incomparable`.
        noise: as for `compare`.

    Raises:
        LedgerError: one of them cannot be read.
        ReproError: the runs for the noise cannot be used.
    """
    files = [open_ledger(r) for r in runs]
    described = tuple(
        {"ledger": str(f.path), "fingerprint": f.fingerprint, "status": f.status} for f in files
    )
    pairs = [_compare_two(files[0], other, same_script=same_script) for other in files[1:]]
    notes = tuple(dict.fromkeys(n for f in files for n in f.notes))
    notes += tuple(dict.fromkeys(n for p in pairs for n in p.notes))
    notes += tuple(copy_notes(files))
    order = {"incomparable": 0, "diverged": 1, "identical": 2}
    worst = min(pairs, key=lambda p: (order[p.verdict], p.compared))
    cause = worst.divergence.cause if worst.divergence is not None else "initial_weights"
    order_matters = same_script and cause not in ("initial_weights", "random_state")
    if order_matters and len({_hash_seed(f) for f in files}) > 1:
        notes += (HASH_SEEDS_DIFFER,)
    if len(files) > 2 and worst.divergence is not None:
        agreeing = [i for i, p in enumerate(pairs, start=2) if p.verdict == "identical"]
        parted = [i for i, p in enumerate(pairs, start=2) if p.verdict != "identical"]
        listed = ", ".join(map(str, parted))
        if agreeing:
            notes += (f"run {listed} parted from run 1; run {', '.join(map(str, agreeing))} did not",)
    found = replace(worst, runs=described, notes=notes)
    return _graded(found, runs[0], runs[1 + pairs.index(worst)], noise)


def _graded(
    comparison: Comparison,
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    noise: Sequence[str | os.PathLike[str]],
) -> Comparison:
    """The comparison with how far apart the runs are, and the grade."""
    if comparison.verdict == "incomparable":
        return comparison
    if comparison.verdict == "diverged":
        try:
            found = distances(a, b, places="ends")
            comparison = replace(comparison, distances=found, how_far=how_far(found))
        except LedgerError as error:  # the ledgers were read: it is what lies beside one of them
            comparison = replace(comparison, notes=(*comparison.notes, str(error)))
    return replace(comparison, grade=grade(comparison, a, b, noise=noise))


def _hash_seed(file: LedgerReader) -> str:
    return str((file.header.get("environment") or {}).get("variables", {}).get("PYTHONHASHSEED"))


@dataclass
class _Progress:
    """Where a comparison of two ledgers stands."""

    context: CompareContext
    compared: int = 0
    notes: list[str] = field(default_factory=list)
    latent: list[str] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)


def _compare_two(a: LedgerReader, b: LedgerReader, *, same_script: bool) -> Comparison:
    reason = incomparable_headers(a.header, b.header)
    count_fits = functools.cache(lambda: fits_in(a, b))
    context = CompareContext(headers=(a.header, b.header), same_script=same_script, count_fits=count_fits)
    progress = _Progress(context)

    def result(verdict: Verdict, divergence: Divergence | None = None, **more: Any) -> Comparison:
        if verdict == "identical":
            progress.notes += progress.latent
        # What differs in the surroundings is told beside every verdict but the one that it explains.
        if verdict == "identical" or (divergence is not None and divergence.cause != "environment"):
            progress.notes += environment_differences(a.header, b.header, same_script=same_script)
        return Comparison(
            verdict=verdict,
            divergence=divergence,
            runs=(),
            notes=tuple(dict.fromkeys(progress.notes)),
            covers=coverage_in_words(progress.kinds, a.header["coverage"]),
            within=caps_in_words(a.header),
            compared=progress.compared,
            **more,
        )

    if reason is not None:
        return result("incomparable", reason=reason)
    for left, right in zip_longest(a.typed_records(), b.typed_records()):
        if left is None or right is None:
            return _one_ended(a, b, left, right, progress, result)
        progress.context = progress.context.after(left, right)
        found = difference(left, right, progress.context)
        if found is not None:
            if found.structure is not None and not same_script:
                return result("incomparable", reason=found.structure)
            return result("diverged", divergence=locate_step(found, a, b))
        progress.notes += limit_notes(left, right)
        progress.latent += latent_notes(left, right)
        progress.compared += 1
        if left.sections:
            born_in_loop = left.kind == "birth" and left.fit is None
            progress.kinds.add("loop" if born_in_loop else left.kind)
    if not progress.kinds - {"fit"}:
        return result("incomparable", reason="they have no record of a training in common")
    partial = [f.path for f in (a, b) if f.status != "finished"]
    if partial:
        progress.notes.append(f"not finished: {', '.join(map(str, partial))}; equal as far as recorded")
    return result("identical")


def _one_ended(
    a: LedgerReader,
    b: LedgerReader,
    left: Record | None,
    right: Record | None,
    progress: _Progress,
    result: Any,
) -> Comparison:
    """One ledger goes on where the other has no more records."""
    longer = left or right
    assert longer is not None
    ended = b if right is None else a
    if progress.compared == 0:
        return result("incomparable", reason=f"{ended.path} has no record in common with the other")
    divergence = Divergence(
        kind=longer.kind,
        fit=longer.fit,
        epoch=longer.epoch,
        cause="unknown",
        ended=f"the same until {progress.context.where()}, then {ended.path} ends: {ended_how(ended)}",
        epochs=progress.context.epochs,
        fits=progress.context.count_fits(),
    )
    return result("diverged", divergence=divergence)
