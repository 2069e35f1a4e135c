"""What two headers have recorded of the surroundings, fact by fact: what differs, and how much is the same.

>>> a, b = ({"environment": {"os": {"release": r}}, "seed": 1} for r in ("6.1", "6.2"))
>>> found = header_facts(a, b)
>>> [(d.name, d.a, d.b) for d in found.differing], found.same
([('os release', '6.1', '6.2')], 1)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keras_repro.report.environment_text import NOT_RECORDED, part, switch_value

_DEEPEST = 6
_MOST_FACTS = 20_000
_LONG = 120  # characters
# What the same training on the same machine does not keep, and what is shown elsewhere.
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
# As `examine.cause.environment_differences` has it.
_CHANGES_BITS = ("cpu model", "gpu", "switch ")
_PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy")


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One that differs: its name, each run's value, and whether it is known to change bits."""

    name: str
    a: str
    b: str
    changes_bits: bool


@dataclass(frozen=True, kw_only=True)
class HeaderFacts:
    """Facts that differ, those that change bits first, and how many are the same."""

    differing: tuple[Fact, ...]
    same: int


def header_facts(a: Mapping[str, Any], b: Mapping[str, Any]) -> HeaderFacts:
    """Compares two headers.

    Args:
        a: one run's header.
        b: the other's.
    """
    mine, other = dict(_facts(a)), dict(_facts(b))
    names = list(dict.fromkeys([*mine, *other]))[:_MOST_FACTS]
    differing = [
        _fact(name, mine.get(name, NOT_RECORDED), other.get(name, NOT_RECORDED))
        for name in names
        if mine.get(name) != other.get(name)
    ]
    differing.sort(key=lambda fact: not fact.changes_bits)
    return HeaderFacts(differing=tuple(differing), same=len(names) - len(differing))


def _fact(name: str, a: str, b: str) -> Fact:
    if min(len(a), len(b)) > _LONG:  # such as a CPU's flags: what both have would hide what one has
        a, b = _only(a, b), _only(b, a)
    return Fact(name=name, a=a, b=b, changes_bits=_changes_bits(name))


def _only(text: str, other: str) -> str:
    there = set(other.split())
    words = [w for w in text.split() if w not in there]
    return f"only here: {' '.join(words)}" if words else "nothing that the other has not"


def _facts(header: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _flat("", part(header, "environment"), _DEEPEST)
    readings = header.get("switches")
    for reading in readings if isinstance(readings, list | tuple) else ():
        if isinstance(reading, Mapping):
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


def _changes_bits(name: str) -> bool:
    return name.startswith(_CHANGES_BITS) or name in {f"packages {p}" for p in _PACKAGES}
