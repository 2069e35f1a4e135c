"""Compare the environments in two headers, fact by fact.

>>> a, b = ({"environment": {"os": {"release": r}}, "seed": 1} for r in ("6.1", "6.2"))
>>> facts = header_facts(a, b)
>>> [(f.name, f.a, f.b) for f in facts.differing], facts.same
([('os release', '6.1', '6.2')], 1)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keras_repro.report.environment_text import NOT_RECORDED, switch_value
from keras_repro.utils.untrusted_json import as_mapping, as_mappings

_DEEPEST = 6
_MOST_FACTS = 20_000
_LONG = 120  # characters
# Fields that change from run to run, and those that are shown elsewhere.
_LEFT_OUT = {
    "kind",
    "created",
    "format",
    "switches",
    "environment",
    "n",
    "check",
    "algorithm",
    "step_algorithm",
}
# As in `comparison.ledger_cause.environment_differences`.
_CHANGES_BITS = ("cpu model", "gpu", "switch ")
_PACKAGES = {"packages tensorflow", "packages tensorflow-cpu", "packages keras", "packages numpy"}


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A fact that differs: its name, the value of each run, and whether it is known to change bits."""

    name: str
    a: str
    b: str
    changes_bits: bool


@dataclass(frozen=True, kw_only=True)
class HeaderFacts:
    """The facts that differ, those that change bits first, and the number of equal ones."""

    differing: tuple[Fact, ...]
    same: int


def header_facts(a: Mapping[str, Any], b: Mapping[str, Any]) -> HeaderFacts:
    """Compare two headers."""
    first, second = dict(_facts(a)), dict(_facts(b))
    names = list(first | second)[:_MOST_FACTS]
    differing = [
        _fact(name, first.get(name, NOT_RECORDED), second.get(name, NOT_RECORDED))
        for name in names
        if first.get(name) != second.get(name)
    ]
    differing.sort(key=lambda fact: not fact.changes_bits)
    return HeaderFacts(differing=tuple(differing), same=len(names) - len(differing))


def _fact(name: str, a: str, b: str) -> Fact:
    if min(len(a), len(b)) > _LONG:  # Such as a CPU's flags: show only the differences.
        a, b = _only(a, b), _only(b, a)
    return Fact(name=name, a=a, b=b, changes_bits=name.startswith(_CHANGES_BITS) or name in _PACKAGES)


def _only(text: str, other: str) -> str:
    """Return the words that the other text lacks."""
    other_words = set(other.split())
    words = [w for w in text.split() if w not in other_words]
    return f"only here: {' '.join(words)}" if words else "nothing else"


def _facts(header: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _flat("", as_mapping(header.get("environment")), _DEEPEST)
    for reading in as_mappings(header.get("switches")):
        yield f"switch {reading.get('name')}", switch_value(reading.get("achieved"))
    yield from _flat("", {k: v for k, v in header.items() if k not in _LEFT_OUT}, _DEEPEST)


def _flat(path: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and depth:
        for name, inner in value.items():
            yield from _flat(f"{path} {name}".strip(), inner, depth - 1)
    elif isinstance(value, list | tuple):
        yield path, " ".join(str(v) for v in value) or "none"
    else:
        yield path, "none" if value is None else str(value)
