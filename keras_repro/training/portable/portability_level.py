"""How portable a step is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras_repro.determinism.portable_pins import promise
from keras_repro.training.graph.finding import Finding, listed
from keras_repro.training.portable.thread_check import ThreadInvariance

_MOST_LISTED = 8


@dataclass(frozen=True)
class PortabilityLevel:
    """How portable a step is.

    Attributes:
        threads: number of threads of the training.
        findings: the operations that are not known to be portable.
        invariance: the thread counts at which the step gives the bits of one thread.
    """

    threads: int
    findings: tuple[Finding, ...]
    invariance: ThreadInvariance

    def __and__(self, other: PortabilityLevel) -> PortabilityLevel:
        """Return the level of two steps together."""
        findings = self.findings + other.findings
        return PortabilityLevel(self.threads, findings, self.invariance & other.invariance)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        same_at = self.invariance.same_at
        level = _not_portable(self.findings) if self.findings else promise(self.threads, same_at)
        return {
            "level": level,
            "threads": self.threads,
            "findings": [f.to_dict() for f in self.findings[:100]],
            "same_at": list(same_at),
            "because": list(self.invariance.because[:_MOST_LISTED]),
        }


def error_text(model: Any, findings: tuple[Finding, ...], step: str) -> str:
    """Return the message that a step is not portable.

    Args:
        model: the model.
        findings: the operations that are not known to be portable.
        step: `"training"` or `"validation"`.
    """
    trained = "; nothing was trained" if step == "training" else ""
    return "\n".join(
        [
            f"the {step} step of {model.name!r} is not portable to another CPU{trained}:",
            *listed(findings, most=_MOST_LISTED),
            "replace them, or have it recorded as not portable: strict=False, or --allow-unportable",
        ]
    )


def _not_portable(findings: tuple[Finding, ...]) -> str:
    total = sum(f.count for f in findings)
    types = ", ".join(sorted({f.operation for f in findings})[:_MOST_LISTED])
    return f"not portable: {total} operation{'' if total == 1 else 's'} not known to be portable ({types})"
