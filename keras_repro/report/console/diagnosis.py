"""Print a diagnosis: the evidence, then the summary, so that the output ends on cause, line and fix."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console

from keras_repro.report.console.terminal import print_line, shown_path, styled
from keras_repro.report.text import cut_end
from keras_repro.root_cause.explanation import Explanation, FurtherSource
from keras_repro.utils.source_line import SourceLine

_INDENT = 9


def print_explanation(explanation: Explanation, console: Console) -> None:
    """Print why two runs diverged: evidence, position, layer or variable, cause, source line, fix."""
    for heading, details in (("evidence", explanation.evidence), ("ruled out", explanation.ruled_out)):
        if details:
            print_line(console, f"{heading}:", "dim")
        for detail in details:
            print_line(console, f"  - {detail}", "dim")
    for name, text in _summary(explanation):
        if name in ("line", "also", "tried") and console.is_terminal:  # elsewhere it may be copied whole
            text = cut_end(text, console.width - _INDENT)
        console.print(styled((f"{name + ':':<{_INDENT}}", "bold"), (text, "")), soft_wrap=True)


def _summary(explanation: Explanation) -> Iterator[tuple[str, str]]:
    yield "where", explanation.place or "not found"
    yield "what", _what(explanation) or "not found"
    also = [("also", _further(f, explanation)) for f in explanation.also]
    yield from also[1:]  # the last five lines are the answer
    yield "cause", explanation.describe_cause()
    yield "line", _line(explanation.source) if explanation.source else "not found"
    yield "fix", explanation.fix or "none known"
    yield from also[:1]
    tried = explanation.fix_tried
    if tried is not None and tried.result != "not applicable":
        yield "tried", tried.in_words


def _further(further: FurtherSource, explanation: Explanation) -> str:
    same = further.fix is None or further.fix == explanation.fix
    return _line(further.source) + ("" if same else f" (fix: {further.fix})")


def _what(explanation: Explanation) -> str:
    if explanation.subject is not None:
        return explanation.subject
    what = ", ".join(name for name in (explanation.describe_layer(), explanation.variable) if name)
    if explanation.operation:
        what = f"{explanation.operation} in {what}" if what else explanation.operation
    return what


def _line(source: SourceLine) -> str:
    return f"{shown_path(source.file)}:{source.line}: {source.code}"
