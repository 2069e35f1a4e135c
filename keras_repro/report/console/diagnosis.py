"""Print a diagnosis: a summary of five lines, then the evidence."""

from __future__ import annotations

from rich.console import Console

from keras_repro.report.console.terminal import print_line, shown_path, styled
from keras_repro.root_cause.explanation import Explanation


def print_explanation(explanation: Explanation, console: Console) -> None:
    """Print why two runs diverged: cause, position, layer or variable, source line, fix, evidence."""
    for name, text in _summary(explanation).items():
        console.print(styled((f"{name + ':':<9}", "bold"), (text, "")), soft_wrap=True)
    for heading, details in (("evidence", explanation.evidence), ("ruled out", explanation.ruled_out)):
        if details:
            print_line(console, f"{heading}:", "dim")
        for detail in details:
            print_line(console, f"  - {detail}", "dim")


def _summary(explanation: Explanation) -> dict[str, str]:
    cause = explanation.cause
    what = " ".join(name for name in (explanation.layer_class, explanation.layer) if name)
    what = ", ".join(name for name in (what, explanation.variable) if name)
    if explanation.operation:
        what = f"{explanation.operation} in {what}" if what else explanation.operation
    source = explanation.source
    return {
        "cause": f"{cause}: {explanation.sentence}" if explanation.sentence else cause,
        "where": explanation.place or "not found",
        "what": what or "not found",
        "line": f"{shown_path(source.file)}:{source.line}: {source.code}" if source else "not found",
        "fix": explanation.fix or "none known",
    }
