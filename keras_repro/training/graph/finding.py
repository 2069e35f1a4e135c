"""An operation of a traced step that is reported to the user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras_repro.utils.json_record import JsonRecord


@dataclass(frozen=True, kw_only=True)
class Finding(JsonRecord):
    """An operation that keeps a step from being portable or resumable.

    Attributes:
        operation: its type, such as `"Rsqrt"`.
        reason: why it is reported.
        name: its name in the graph.
        layer: the layer that makes it, empty if none does.
        source: the line that makes it, as `file:line`, the user's own if there is one; empty if unknown.
        count: number of operations of this type, layer and source.
    """

    operation: str
    reason: str
    name: str = ""
    layer: str = ""
    source: str = ""
    count: int = 1

    def __str__(self) -> str:
        times = f" ({self.count} times)" if self.count > 1 else ""
        layer = f" in layer {self.layer}" if self.layer else ""
        source = f", made at {self.source}" if self.source else ""
        return f"{self.operation}{times}{layer}{source}: {self.reason}"


def listed(findings: Any, *, most: int = 8) -> list[str]:
    """Return the lines of a message that lists findings.

    Args:
        findings: the findings.
        most: number of findings that are listed.
    """
    lines = [f"  {finding}" for finding in findings[:most]]
    return lines if len(findings) <= most else [*lines, f"  and {len(findings) - most} more"]
