"""Two records side by side: were they the same training, and if not, where did they part.

    comparison = compare("runs/a", "runs/b")
    comparison.verdict        # "identical", "diverged" or "incomparable"
    comparison.divergence     # None, or the first place where they differ

Reads both ledgers line by line; needs no TensorFlow.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, Literal

from keras_repro.errors import LedgerError
from keras_repro.examine.cause import Context, cause_of, environment_differences
from keras_repro.examine.divergence import Divergence as Divergence
from keras_repro.examine.notes import (
    caps_in_words,
    copy_notes,
    coverage_in_words,
    differing,
    latent_notes,
    limit_notes,
)
from keras_repro.record.ledger import LedgerFile, read_ledger
from keras_repro.record.schema import COVERAGE, Record
from keras_repro.record.text import visible

Verdict = Literal["identical", "diverged", "incomparable"]

FORMAT = 1

_SECTION_ORDER = ("fit", "order", "weights", "optimizer", "seeds", "metrics", "results")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `compare` found.

    Attributes:
        verdict: `"identical"` only when every digest of both chains was compared and there was one.
        runs: `{"ledger", "fingerprint", "status"}` of each run.
        divergence: the first place where two of them differ.
        reason: why they are `incomparable`, in a line.
        notes: what is worth knowing and changes no verdict.
        covers: what the verdict covers, in words.
        within: the part of the training that was run, such as `"the first 2 epochs of each fit"`; empty
            where nothing was capped.
        compared: how many records of the chain were equal before the end or the divergence.
    """

    verdict: Verdict
    runs: tuple[Mapping[str, Any], ...]
    divergence: Divergence | None = None
    reason: str | None = None
    notes: tuple[str, ...] = ()
    covers: str = ""
    within: str = ""
    compared: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The machine form, as `--json` writes it."""
        return {
            "format": FORMAT,
            "verdict": self.verdict,
            "runs": [dict(r) for r in self.runs],
            "divergence": None if self.divergence is None else self.divergence.to_dict(),
            "reason": self.reason,
            "notes": list(self.notes),
            "covers": self.covers,
            "within": self.within,
            "compared": self.compared,
        }

    def __repr__(self) -> str:
        return f"<Comparison {self}>"

    def __str__(self) -> str:
        if self.verdict == "identical":
            over = f" over {self.within}" if self.within else ""
            return visible(f"identical{over}: {self.covers}; fingerprint {self.runs[0]['fingerprint']}")
        if self.divergence is not None:
            return f"diverged: {self.divergence.describe()}"
        return visible(f"incomparable: {self.reason}")


def compare(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> Comparison:
    """Compares two recorded runs.

    Args:
        a: a run folder or a ledger.
        b: the other one.

    Raises:
        LedgerError: one of them cannot be read.
    """
    return compare_all([a, b])


def compare_all(runs: Sequence[str | os.PathLike[str]], *, same_script: bool = False) -> Comparison:
    """Compares runs with the first of them, and reports the earliest difference.

    Args:
        runs: at least two run folders or ledgers.
        same_script: whether they come from one script started again: another structure is then a
            divergence with the cause `configuration`, and not `incomparable`.

    Raises:
        LedgerError: one of them cannot be read.
    """
    files = [read_ledger(r) for r in runs]
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
        notes += (
            "each run had a hash seed of its own: if they agree with --keep-hash-seed, the order of a set "
            "or hash() is the cause",
        )
    if len(files) > 2 and worst.divergence is not None:
        agreeing = [i for i, p in enumerate(pairs, start=2) if p.verdict == "identical"]
        parted = [i for i, p in enumerate(pairs, start=2) if p.verdict != "identical"]
        listed = ", ".join(map(str, parted))
        if agreeing:
            notes += (f"run {listed} parted from run 1; run {', '.join(map(str, agreeing))} did not",)
    return replace(worst, runs=described, notes=notes)


def _hash_seed(file: LedgerFile) -> str:
    return str((file.header.get("environment") or {}).get("variables", {}).get("PYTHONHASHSEED"))


class LiveComparison:
    """Compares a run with a recorded one while it is being made, record by record.

    Args:
        reference: a run folder or ledger.

    Raises:
        LedgerError: it cannot be read, or holds no record.
    """

    def __init__(self, reference: str | os.PathLike[str]) -> None:
        self._file = read_ledger(reference)
        if self._file.fingerprint is None:
            raise LedgerError(f"{self._file.path} holds no record to compare with")
        self._records = self._file.typed_records()
        self._context: Context | None = None
        self._over = False

    def check(self, record: Record, header: Any) -> Divergence | None:
        """Compares the next record of the run with the reference's next.

        Returns:
            The divergence, or None where both agree or the reference has ended.

        Raises:
            LedgerError: the reference cannot be compared with this run at all.
        """
        if self._context is None:
            mine = header.to_dict()
            reason = _incomparable_headers(self._file.header, mine)
            if reason is not None:
                raise LedgerError(f"cannot compare with {self._file.path}: {reason}")
            self._context = Context(headers=(self._file.header, mine))
        expected = None if self._over else next(self._records, None)
        if expected is None:
            self._over = True
            return None
        self._context = self._context.after(expected, record)
        return _difference(expected, record, self._context)


@dataclass
class _Progress:
    """Where a comparison of two ledgers stands."""

    context: Context
    compared: int = 0
    notes: list[str] = field(default_factory=list)
    latent: list[str] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)


def _compare_two(a: LedgerFile, b: LedgerFile, *, same_script: bool) -> Comparison:
    reason = _incomparable_headers(a.header, b.header)
    progress = _Progress(Context(headers=(a.header, b.header), same_script=same_script))

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
        found = _difference(left, right, progress.context)
        if found is not None:
            if found.structure is not None and not same_script:
                return result("incomparable", reason=found.structure)
            return result("diverged", divergence=found)
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
    a: LedgerFile,
    b: LedgerFile,
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
    how = {"finished": "it finished", "stopped": "it was stopped"}.get(ended.status, "it was killed")
    divergence = Divergence(
        kind=longer.kind,
        fit=longer.fit,
        epoch=longer.epoch,
        cause="unknown",
        ended=f"the same until {progress.context.where()}, then {ended.path} ends: {how}",
        epochs=progress.context.epochs,
    )
    return result("diverged", divergence=divergence)


def _incomparable_headers(a: Mapping[str, Any], b: Mapping[str, Any]) -> str | None:
    if a["mode"] != b["mode"]:
        return f"one run is {a['mode']} and the other {b['mode']}: two different trainings"
    if a["coverage"] != b["coverage"]:
        words = [", ".join(COVERAGE.get(c, c) for c in h["coverage"]) for h in (a, b)]
        return f"their chains cover different things: ({words[0]}) and ({words[1]})"
    return None


def _difference(a: Record, b: Record, context: Context) -> Divergence | None:
    """The difference of two records that stand at the same place of their chains, None if equal."""
    if a.link == b.link and a.position == b.position:
        return None
    if a.position != b.position:
        return _other_position(a, b, context)
    structure = _structure(a, b)
    sections = [s for s in _ordered(a.sections, b.sections) if a.sections.get(s) != b.sections.get(s)]
    if not sections:
        return None
    pairs = [(s, n) for s in sections for n in differing(a.tensors.get(s, {}), b.tensors.get(s, {}))]
    section, tensor = pairs[0] if pairs else (sections[0], None)
    divergence = Divergence(
        kind=a.kind,
        fit=a.fit,
        epoch=None if a.kind == "birth" else a.epoch,
        index=a.index,
        step=steps if isinstance(steps := a.extra.get("steps"), int) else None,
        section=section,
        tensor=tensor,
        keras_name=context.keras_name(tensor),
        tensors=tuple({"section": s, "tensor": n} for s, n in pairs),
        epochs=context.epochs,
        structure=structure,
    )
    cause, explanation = cause_of(divergence, a, b, context)
    return replace(divergence, cause=cause, explanation=explanation)


def _other_position(a: Record, b: Record, context: Context) -> Divergence:
    first = a if b.kind == "end" else b
    kinds = {a.kind, b.kind}
    if kinds == {"epoch", "end"}:
        ended = b if first is a else a
        stopped = ended.extra.get("status") == "stopped"
        how = "was stopped" if stopped else "ended"
        text = f"the same until {context.where()}, then one fit {how} and the other went on"
        return Divergence(
            kind="epoch",
            fit=a.fit,
            epoch=first.epoch,
            cause="unknown" if stopped else "configuration",
            ended=text,
            epochs=context.epochs,
        )
    names = [r.position.replace("birth", "new variables in") for r in (a, b)]
    structure = f"after {context.where()} one goes on with {names[0]}, the other with {names[1]}"
    return Divergence(
        kind=a.kind,
        fit=a.fit,
        epoch=a.epoch,
        cause="configuration",
        structure=structure,
        explanation=structure,
    )


def _structure(a: Record, b: Record) -> str | None:
    """What differs in names, shapes and dtypes of the tensors, in a line; None if nothing does."""
    mine, other = _chained_shapes(a), _chained_shapes(b)
    changed = [n for n in mine if n in other and mine[n] != other[n]]
    only = [n for n in mine if n not in other], [n for n in other if n not in mine]
    parts = [f"{n} is {_shape(mine[n])} in one and {_shape(other[n])} in the other" for n in changed[:3]]
    parts += [
        f"{n} is in the {which} only"
        for which, names in zip(("first", "second"), only, strict=True)
        for n in names[:2]
    ]
    if not parts:
        return None
    total = len(changed) + len(only[0]) + len(only[1])
    more = f" (and {total - len(parts)} more)" if total > len(parts) else ""
    return f"different models: {'; '.join(parts)}{more}"


def _chained_shapes(record: Record) -> dict[str, list[Any]]:
    """Dtype and shape of the tensors that the chain commits to: no generator that nothing drew from."""
    chained = {name for held in record.tensors.values() for name in held}
    return {n: s[:2] for n, s in record.shapes.items() if n in chained}


def _shape(described: Sequence[Any]) -> str:
    dtype, shape = described
    return f"{dtype}{list(shape)}"


def _ordered(*mappings: Mapping[str, Any]) -> list[str]:
    names = list(dict.fromkeys(n for m in mappings for n in m))
    known = [n for n in _SECTION_ORDER if n in names]
    return known + [n for n in names if n not in known]
