"""Find the difference of two records at the same place of two chains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from keras_repro.comparison.divergence import Divergence
from keras_repro.comparison.ledger_cause import CompareContext, cause_of
from keras_repro.ledger.reader import LedgerReader
from keras_repro.ledger.schema import COVERAGE, Record
from keras_repro.utils.mappings import differing_names

_SECTION_ORDER = ("fit", "order", "weights", "optimizer", "captured", "seeds", "metrics", "results")


def incomparable_headers(a: Mapping[str, Any], b: Mapping[str, Any]) -> str | None:
    """Return why two runs cannot be compared by their headers, None if they can."""
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


def ending_text(ledger: LedgerReader) -> str:
    """Return how a run ended, in words."""
    return {"finished": "it finished", "stopped": "it was stopped"}.get(ledger.status, "it was killed")


def difference(a: Record, b: Record, context: CompareContext) -> Divergence | None:
    """Return the difference of two records at the same place of their chains, None if they are equal."""
    if a.link == b.link and a.position == b.position:
        return None
    if a.position != b.position:
        return _other_position(a, b, context)
    structure = _structure(a, b)
    sections = [s for s in _in_order(a.sections, b.sections) if a.sections.get(s) != b.sections.get(s)]
    if not sections:
        return None
    pairs = [(s, n) for s in sections for n in differing_names(a.tensors.get(s, {}), b.tensors.get(s, {}))]
    section, tensor = pairs[0] if pairs else (sections[0], None)
    divergence = Divergence(
        **_place(a, context),
        step=a.extra.get("steps"),
        section=section,
        tensor=tensor,
        keras_name=context.names.get(tensor or ""),
        tensors=tuple({"section": s, "tensor": n} for s, n in pairs),
        structure=structure,
    )
    cause, explanation = cause_of(divergence, a, b, context)
    return replace(divergence, cause=cause, explanation=explanation)


def _other_position(a: Record, b: Record, context: CompareContext) -> Divergence:
    """Return the difference of two records that are at different places."""
    if {a.kind, b.kind} == {"epoch", "end"}:
        epoch, end = (a, b) if b.kind == "end" else (b, a)
        stopped = end.extra.get("status") == "stopped"
        ending = "was stopped" if stopped else "ended"
        return Divergence(
            **_place(epoch, context),
            cause="unknown" if stopped else "configuration",
            ended=f"the same until {context.where()}, then one fit {ending} and the other continued",
        )
    names = [("new variables in " if r.kind == "birth" else "") + context.place(r) for r in (a, b)]
    structure = f"after {context.where()}, one continues with {names[0]}, the other with {names[1]}"
    divergence = Divergence(**_place(a, context), cause="configuration", structure=structure)
    cause, explanation = cause_of(divergence, a, b, context)
    return replace(divergence, cause=cause, explanation=explanation)


def _place(record: Record, context: CompareContext) -> dict[str, Any]:
    """Return the place of a record, as fields of a `Divergence`."""
    return {
        "kind": record.kind,
        "fit": record.fit,
        "epoch": None if record.kind == "birth" else record.epoch,
        "index": record.index,
        "epochs": context.epochs,
        "fits": context.most_fits,
    }


def _structure(a: Record, b: Record) -> str | None:
    """Return the differences of the tensors' names, shapes and dtypes in one line; None if there are none."""
    first, second = _chained_shapes(a), _chained_shapes(b)
    changed = [n for n in first if n in second and first[n] != second[n]]
    only = [n for n in first if n not in second], [n for n in second if n not in first]
    parts = [f"{n} is {_shape(first[n])} in one and {_shape(second[n])} in the other" for n in changed[:3]]
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
    """Return dtype and shape of the tensors in the chain: without generators that were never used."""
    chained = {name for tensors in record.tensors.values() for name in tensors}
    return {n: s[:2] for n, s in record.shapes.items() if n in chained}


def _shape(described: Sequence[Any]) -> str:
    dtype, shape = described
    return f"{dtype}{list(shape)}"


def _in_order(*mappings: Mapping[str, Any]) -> list[str]:
    names = dict.fromkeys(n for m in mappings for n in m)
    return sorted(names, key=lambda name: (*_SECTION_ORDER, name).index(name))  # unknown ones last
