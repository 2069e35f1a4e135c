"""How portable a step is, from what a look at its graph has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras_repro.determinism.portable_pins import promise

_MOST_SAID = 8


@dataclass(frozen=True)
class PortabilityLevel:
    """How portable a step is.

    Attributes:
        threads: how many it runs with.
        findings: what in it is not known to be portable.
        same: at which numbers of threads it gives the bits of one thread.
    """

    threads: int
    findings: tuple[Any, ...]
    same: Any

    def __and__(self, other: PortabilityLevel) -> PortabilityLevel:
        """Of two steps together."""
        return PortabilityLevel(self.threads, self.findings + other.findings, self.same & other.same)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        found = self.findings
        level = f"not portable: {_counted(found)}" if found else promise(self.threads, self.same.same_at)
        return {
            "level": level,
            "threads": self.threads,
            "findings": [f.to_dict() for f in found[:100]],
            "same_at": list(self.same.same_at),
            "because": list(self.same.because[:_MOST_SAID]),
        }


def complaint(model: Any, found: Any, step: str) -> str:
    """What to say where a step is not portable.

    Args:
        model: whose step it is.
        found: what in it is not known to be portable.
        step: what it is called.
    """
    trained = "; nothing was trained" if step == "training" else ""
    lines = [f"  {f}" for f in found[:_MOST_SAID]]
    if len(found) > _MOST_SAID:
        lines.append(f"  and {len(found) - _MOST_SAID} more")
    return "\n".join(
        [
            f"the {step} step of {model.name!r} is not portable to another CPU{trained}:",
            *lines,
            "replace them, or have it recorded as not portable: strict=False, or --allow-unportable",
        ]
    )


def _counted(found: Any) -> str:
    total = sum(f.count for f in found)
    kinds = ", ".join(sorted({f.operation for f in found})[:_MOST_SAID])
    return f"{total} operation{'' if total == 1 else 's'} not known to be portable ({kinds})"
