"""A diagnosis on the terminal: five lines first, the evidence below."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from keras_repro.report.console.terminal import shown_path
from keras_repro.root_cause.explanation import Explanation
from keras_repro.utils.text import escape_control_chars


def print_explanation(explanation: Explanation, console: Console) -> None:
    """Prints why two runs parted: cause, place, layer or variable, source line and fix; then the evidence."""
    for name, text in _summary(explanation):
        line = Text()
        line.append(f"{name + ':':<9}", style="bold")
        line.append(escape_control_chars(text))
        console.print(line, soft_wrap=True)
    for heading, lines in (("evidence", explanation.evidence), ("ruled out", explanation.ruled_out)):
        if lines:
            console.print(Text(f"{heading}:", style="dim"))
        for each in lines:
            console.print(Text(f"  - {escape_control_chars(each)}", style="dim"), soft_wrap=True)


def _summary(said: Explanation) -> list[tuple[str, str]]:
    why = f"{said.cause}: {said.sentence}" if said.sentence else said.cause
    what = said.variable or ""
    if said.layer or said.layer_class:
        named = " ".join(part for part in (said.layer_class, said.layer) if part)
        what = f"{named}, {what}" if what else named
    if said.operation:
        what = f"{said.operation} in {what}" if what else said.operation
    source = "not found"
    if said.source is not None:
        source = f"{shown_path(said.source['file'])}:{said.source['line']}: {said.source['code']}"
    return [
        ("cause", why),
        ("where", said.place or "not found"),
        ("what", what or "not found"),
        ("line", source),
        ("fix", said.fix or "none known"),
    ]
