"""Compare recorded runs: were they the same training, and if not, where did they diverge?

>>> comparison = compare("check/run-1", "check/run-2")
>>> comparison.verdict, comparison.divergence       # else "diverged" and where, or "incomparable"
('identical', None)
>>> comparison.runs[0]["fingerprint"]
'kr1-smr-eef309e0a75b157847097b0ddc043253'

Reads the ledgers line by line; needs no TensorFlow.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from keras_repro.comparison.differences.environment_diff import environment_differences, other_versions
from keras_repro.comparison.distances.layer_distances import distances
from keras_repro.comparison.distances.summary import summarize_distances
from keras_repro.comparison.divergence import Divergence
from keras_repro.comparison.grade import grade
from keras_repro.comparison.ledger_cause import CompareContext
from keras_repro.comparison.notes import (
    HASH_SEEDS_DIFFER,
    OUTSIDE_MODELS,
    caps_text,
    chance_notes,
    copy_notes,
    coverage_text,
    latent_notes,
    limit_notes,
    order_notes,
)
from keras_repro.comparison.record_diff import difference, ending_text, incomparable_headers
from keras_repro.comparison.result import Comparison, Verdict
from keras_repro.comparison.step_diff import locate_step
from keras_repro.errors import LedgerError
from keras_repro.ledger.reader import LedgerReader, open_ledger
from keras_repro.ledger.schema import Record
from keras_repro.utils.untrusted_json import as_mapping

_WORST_FIRST = ("incomparable", "diverged", "identical")


def compare(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    *,
    noise: Sequence[str | os.PathLike[str]] = (),
) -> Comparison:
    """Compare two recorded runs.

    Args:
        a: a run folder or a ledger.
        b: the other run.
        noise: further runs of the same script with other seeds, at least three. They measure how much the
            seed alone changes results, for the grade `statistical`.

    Raises:
        LedgerError: a ledger cannot be read.
        ReproError: the runs for the noise cannot be used.
    """
    return compare_all([a, b], noise=noise)


def compare_all(
    runs: Sequence[str | os.PathLike[str]],
    *,
    same_script: bool = False,
    noise: Sequence[str | os.PathLike[str]] = (),
) -> Comparison:
    """Compare runs with the first of them, and report the earliest difference.

    Args:
        runs: at least two run folders or ledgers.
        same_script: whether all are runs of one script: a different structure is then a divergence with
            the cause `configuration`, not `incomparable`.
        noise: as for `compare`.

    Raises:
        LedgerError: a ledger cannot be read.
        ReproError: the runs for the noise cannot be used.
    """
    return compare_ledgers([open_ledger(r) for r in runs], same_script=same_script, noise=noise)


def compare_ledgers(
    ledgers: Sequence[LedgerReader],
    *,
    same_script: bool = False,
    noise: Sequence[str | os.PathLike[str]] = (),
) -> Comparison:
    """Compare open ledgers, as `compare_all` does."""
    first, *others = ledgers
    pairs = [_Pair(first, other, same_script=same_script).compare() for other in others]
    worst = min(range(len(pairs)), key=lambda i: (_WORST_FIRST.index(pairs[i].verdict), pairs[i].compared))
    comparison = replace(
        pairs[worst],
        ledgers=tuple(ledgers),
        runs=tuple(
            {"ledger": str(f.path)}
            | ({} if f.fit is None else {"fit": f.fit})
            | {"fingerprint": f.fingerprint, "status": f.status}
            for f in ledgers
        ),
        notes=tuple(
            dict.fromkeys(
                [
                    *(n for f in ledgers for n in f.notes),
                    *(n for p in pairs for n in p.notes),
                    *order_notes(ledgers),
                    *copy_notes(ledgers),
                    *_notes_on_all(ledgers, pairs, pairs[worst], same_script=same_script),
                ]
            )
        ),
    )
    return _graded(comparison, first, others[worst], noise)


def _notes_on_all(
    ledgers: Sequence[LedgerReader], pairs: Sequence[Comparison], worst: Comparison, *, same_script: bool
) -> list[str]:
    """Return notes on hash seeds, and on which runs agree with the first."""
    notes = []
    cause = worst.divergence.cause if worst.divergence is not None else "initial_weights"
    order_matters = same_script and cause not in ("initial_weights", "random_state")
    variables = [as_mapping(f.header["environment"].get("variables")) for f in ledgers]
    if order_matters and len({str(v.get("PYTHONHASHSEED")) for v in variables}) > 1:
        notes.append(HASH_SEEDS_DIFFER)
    if len(ledgers) > 2 and worst.divergence is not None:
        agreeing = [str(i) for i, p in enumerate(pairs, start=2) if p.verdict == "identical"]
        diverged = [str(i) for i, p in enumerate(pairs, start=2) if p.verdict != "identical"]
        if agreeing:
            notes.append(f"run {', '.join(diverged)} diverged from run 1; run {', '.join(agreeing)} did not")
    return notes


def _graded(
    comparison: Comparison, a: LedgerReader, b: LedgerReader, noise: Sequence[str | os.PathLike[str]]
) -> Comparison:
    """Return the comparison with the distances of the weights and the grade."""
    if comparison.verdict == "incomparable":
        return comparison
    if comparison.verdict == "diverged":
        try:
            weights = distances(a, b, places="ends")
            comparison = replace(comparison, distances=weights, how_far=summarize_distances(weights))
        except LedgerError as error:  # the ledgers were read: a file next to one of them is damaged
            comparison = replace(comparison, notes=(*comparison.notes, str(error)))
    return replace(comparison, grade=grade(comparison, a, b, noise=[open_ledger(n) for n in noise]))


@dataclass
class _Pair:
    """Two ledgers, and how far they were compared."""

    a: LedgerReader
    b: LedgerReader
    same_script: bool = field(kw_only=True)
    compared: int = 0
    notes: list[str] = field(default_factory=list)
    latent: list[str] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)

    def compare(self) -> Comparison:
        """Compare record by record, up to the first difference."""
        a, b = self.a, self.b
        reason = incomparable_headers(a.header, b.header)
        if reason is not None:
            return self._result("incomparable", reason=reason)
        context = CompareContext((a, b), (a.header, b.header), same_script=self.same_script)
        for left, right in zip_longest(a.typed_records(), b.typed_records()):
            if left is None or right is None:
                return self._one_ended(left, right, context)
            context.add(left, right)
            divergence = difference(left, right, context)
            if divergence is not None:
                may_differ = self.same_script or other_versions(a.header, b.header) is not None
                if divergence.structure is not None and not may_differ:
                    return self._result("incomparable", reason=divergence.structure)
                return self._result("diverged", divergence=locate_step(divergence, a, b))
            self._add_equal(left, right)
        if not self.kinds - {"fit"}:
            return self._result("incomparable", reason="they have no record of a training in common")
        partial = [f.title for f in (a, b) if f.status != "finished"]
        if partial:
            self.notes.append(f"not finished: {', '.join(partial)}; equal as far as recorded")
        return self._result("identical")

    def _add_equal(self, left: Record, right: Record) -> None:
        self.notes += limit_notes(left, right)
        self.latent += [*latent_notes(left, right), *chance_notes(left)]
        self.compared += 1
        if left.sections:
            created_in_loop = left.kind == "birth" and left.fit is None
            names = [n for digests in left.tensors.values() for n in digests]
            outside = [n for n in names if n.startswith(OUTSIDE_MODELS)]
            if not outside or len(outside) < len(names):
                self.kinds.add("loop" if created_in_loop else left.kind)
            if outside:
                self.kinds.add(OUTSIDE_MODELS)

    def _one_ended(self, left: Record | None, right: Record | None, context: CompareContext) -> Comparison:
        """Return the result if one ledger has more records than the other."""
        longer, ended = (left, self.b) if right is None else (right, self.a)
        assert longer is not None
        if self.compared == 0:
            return self._result(
                "incomparable", reason=f"{ended.title} has no record in common with the other"
            )
        divergence = Divergence(
            kind=longer.kind,
            fit=longer.fit,
            epoch=longer.epoch,
            cause="unknown",
            ended=f"the same until {context.where()}, then {ended.title} ends: {ending_text(ended)}",
            epochs=context.epochs,
            fits=context.most_fits,
        )
        return self._result("diverged", divergence=divergence)

    def _result(
        self, verdict: Verdict, *, divergence: Divergence | None = None, reason: str | None = None
    ) -> Comparison:
        headers = self.a.header, self.b.header
        notes = list(self.notes)
        if verdict == "identical":
            notes += self.latent
        # Differences of the environment are noted unless they are the cause.
        if verdict == "identical" or (divergence is not None and divergence.cause != "environment"):
            notes += environment_differences(*headers, same_script=self.same_script)
        return Comparison(
            verdict=verdict,
            divergence=divergence,
            reason=reason,
            runs=(),
            notes=tuple(dict.fromkeys(notes)),
            covers=coverage_text(self.kinds, headers[0]["coverage"], fits=self.a.fit is not None),
            within=caps_text(headers[0]),
            compared=self.compared,
        )
