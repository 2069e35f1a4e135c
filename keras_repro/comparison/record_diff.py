"""Two records at the same place of two chains: do they differ, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from keras_repro.comparison.divergence import Divergence
from keras_repro.comparison.ledger_cause import CompareContext, cause_of
from keras_repro.comparison.notes import differing
from keras_repro.ledger.reader import LedgerReader
from keras_repro.ledger.schema import COVERAGE, Record

_SECTION_ORDER = ("fit", "order", "weights", "optimizer", "seeds", "metrics", "results")


def incomparable_headers(a: Mapping[str, Any], b: Mapping[str, Any]) -> str | None:
    if a["mode"] != b["mode"]:
        return f"one run is {a['mode']} and the other {b['mode']}: two different trainings"
    levels = [h.get("determinism", "bitwise") for h in (a, b)]
    if levels[0] != levels[1]:
        return f"one run is {levels[0]} and the other {levels[1]}: two different trainings"
    covered = [set(h["coverage"]) for h in (a, b)]
    if covered[0] != covered[1]:
        parts = [
            f"only the {which} covers {COVERAGE.get(c, c).partition(':')[0]}"
            for which, more in (("first", covered[0] - covered[1]), ("second", covered[1] - covered[0]))
            for c in sorted(more)
        ]
        return f"their fingerprints cover different things: {'; '.join(parts)}"
    return None


def ended_how(file: LedgerReader) -> str:
    """How a run ended, in words."""
    return {"finished": "it finished", "stopped": "it was stopped"}.get(file.status, "it was killed")


def fits_in(*files: LedgerReader) -> int:
    """The number of fits in the ledger that holds the most of them; reads each from end to end."""
    return max(sum(r.get("kind") == "fit" for r in file.records()) for file in files)


def difference(a: Record, b: Record, context: CompareContext) -> Divergence | None:
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
        fits=context.count_fits(),
        structure=structure,
    )
    cause, explanation = cause_of(divergence, a, b, context)
    return replace(divergence, cause=cause, explanation=explanation)


def _other_position(a: Record, b: Record, context: CompareContext) -> Divergence:
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
            fits=context.count_fits(),
        )
    names = [("new variables in " if r.kind == "birth" else "") + context.place(r) for r in (a, b)]
    structure = f"after {context.where()} one goes on with {names[0]}, the other with {names[1]}"
    return Divergence(
        kind=a.kind,
        fit=a.fit,
        epoch=None if a.kind == "birth" else a.epoch,
        index=a.index,
        epochs=context.epochs,
        fits=context.count_fits(),
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
