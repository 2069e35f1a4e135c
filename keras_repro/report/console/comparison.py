"""What the commands print: short, readable at any width, without colour, and piped."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keras_repro.comparison.result import Comparison
from keras_repro.ledger.position_text import position_text
from keras_repro.ledger.reader import LedgerReader, open_ledger
from keras_repro.ledger.schema import Record
from keras_repro.report.console.how_far import how_far_lines
from keras_repro.utils.text import escape_control_chars

_DIGITS = 7
_MOST_ROWS = 60
_MOST_METRICS = 4
_NEAR = 8


def make_console(file: IO[str] | None = None) -> Console:
    """A console that prints to `file`, standard output by default; plain text where that is no terminal."""
    file = file or sys.stdout
    width = None if file.isatty() else 100
    return _Console(file=file, highlight=False, soft_wrap=False, width=width, emoji=False)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich would end the process with 1, which says that a difference was found.
        raise BrokenPipeError


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Prints the table of epochs, notes, and the verdict with the fingerprint as the last line."""
    ledgers = [open_ledger(r["ledger"]) for r in comparison.runs]
    if comparison.verdict != "incomparable":
        _print_epochs(ledgers, comparison, console)
    for note in comparison.notes:
        _line(console, f"note: {note}", "yellow")
    print_verdict(comparison, console)


def print_verdict(comparison: Comparison, console: Console) -> None:
    """Prints the verdict: a line to paste into a paper where the runs are identical."""
    if comparison.verdict == "identical":
        versions = _versions(open_ledger(comparison.runs[0]["ledger"]))
        _line(console, f"covers: {comparison.covers}. Agreeing runs do not exclude a rare race.")
        over = f" over {comparison.within}" if comparison.within else ""
        runs = len({open_ledger(r["ledger"]).digest for r in comparison.runs})
        what = f"{runs} runs, bit for bit{versions}" if runs > 1 else f"one run beside itself{versions}"
        text = f"identical{over}: {what}, fingerprint "
        _line(console, text + str(comparison.runs[0]["fingerprint"]), "bold green")
    elif comparison.divergence is not None:
        divergence = comparison.divergence
        for text in () if comparison.how_far is None else how_far_lines(comparison.how_far):
            _line(console, text)
        if comparison.grade is not None:
            _line(console, f"grade: {comparison.grade.name}; {comparison.grade.reason}")
        _line(console, f"cause: {divergence.cause}")
        others = divergence.tensors[1:6]
        if others:
            names = ", ".join(t["tensor"] for t in others)
            more = len(divergence.tensors) - 1 - len(others)
            _line(console, f"also: {names}" + (f" and {more} more" if more else ""))
        _line(console, f"diverged: {divergence.describe()}", "bold red")


def _line(console: Console, text: str, style: str = "") -> None:
    # Not broken into lines of our own: a fingerprint has to be copied in one piece.
    console.print(Text(escape_control_chars(text), style=style), soft_wrap=True)


def _versions(ledger: LedgerReader) -> str:
    frameworks = (ledger.header.get("environment") or {}).get("frameworks") or {}
    names = {"tensorflow": "TensorFlow", "keras": "Keras"}
    listed = [f"{names[n]} {frameworks[n]}" for n in names if frameworks.get(n)]
    return f", {', '.join(listed)}" if listed else ""


def _print_epochs(ledgers: Sequence[LedgerReader], comparison: Comparison, console: Console) -> None:
    rows = list(_rows(ledgers))
    if not rows:
        return
    columns = _metric_columns(rows, console.width, len(ledgers))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("epoch", justify="right", no_wrap=True)
    for name in columns:
        table.add_column(escape_control_chars(name), justify="right", no_wrap=True)
    for number in range(len(ledgers)):
        table.add_column(f"run {number + 1}", no_wrap=True)
    for row in _shown(rows):
        if row is None:
            table.add_row(*["..."] + [""] * (len(columns) + len(ledgers)))
            continue
        marks = [
            Text(digest or "-", style="" if digest == row["digests"][0] else "bold red")
            for digest in row["digests"]
        ]
        cells = [_number(row["metrics"].get(name)) for name in columns]
        table.add_row(escape_control_chars(row["name"]), *cells, *marks)
    console.print(table)


def _rows(ledgers: Sequence[LedgerReader]) -> Iterator[dict[str, Any]]:
    """One row an epoch or result, with a digest of each run's state there."""
    counts: Counter[str] = Counter()
    held: list[dict[str, dict[str, Any]]] = []
    for ledger in ledgers:
        found = {}
        for record in ledger.typed_records():
            if ledger is ledgers[0]:
                counts[record.kind] += 1
            if record.kind in ("epoch", "evaluation", "prediction"):
                found[record.position] = {
                    "record": record,
                    "digest": _state_digits(record.sections),
                }
        held.append(found)
    for position in dict.fromkeys(p for found in held for p in found):
        entries = [found.get(position) for found in held]
        record = next(e["record"] for e in entries if e is not None)
        name = _row_name(record, counts)
        digests = [e["digest"] if e is not None else None for e in entries]
        yield {"name": name, "metrics": record.metrics, "digests": digests}


def _state_digits(sections: Any) -> str:
    from keras_repro.storage.digest import section_digest

    return section_digest(dict(sections))[:_DIGITS]


def _row_name(record: Record, counts: Mapping[str, int]) -> str:
    """Epochs by their number, with their fit before it where there are several; all counted from 1."""
    if record.epoch is not None:
        fit = f"fit {(record.fit or 0) + 1}: " if counts["fit"] > 1 else ""
        return f"{fit}{record.epoch + 1}"
    many = counts[record.kind] > 1 and record.index is not None
    return position_text(record.kind, index=record.index) if many else record.kind


def _metric_columns(rows: Sequence[dict[str, Any]], width: int, runs: int) -> list[str]:
    names = list(dict.fromkeys(n for r in rows for n in r["metrics"]))
    preferred = [n for n in ("loss", "accuracy") if n in names]
    preferred += [n for n in names if n not in preferred]
    widest = max(len(escape_control_chars(r["name"])) for r in rows)
    free = width - max(widest, len("epoch")) - runs * (_DIGITS + 2)
    shown: list[str] = []
    for name in preferred:
        needed = 2 + max(
            len(escape_control_chars(name)), *(len(_number(r["metrics"].get(name))) for r in rows)
        )
        if needed <= free and len(shown) < _MOST_METRICS:
            shown.append(name)
            free -= needed
    return shown


def _shown(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any] | None]:
    """All rows, or where they are many, those at both ends and around the first difference."""
    if len(rows) <= _MOST_ROWS:
        yield from rows
        return
    first = next((i for i, r in enumerate(rows) if len(set(r["digests"])) > 1), len(rows))
    last = -1
    for index, row in enumerate(rows):
        near = abs(index - first) <= _NEAR // 2
        if index < _NEAR or index >= len(rows) - _NEAR or near:
            if index != last + 1:
                yield None
            last = index
            yield row


def _number(value: Any) -> str:
    return (
        f"{value:.6f}"
        if isinstance(value, float)
        else ("" if value is None else escape_control_chars(value)[:10])
    )


def print_error(message: object, output: str = "") -> None:
    """Prints one clear line on standard error, behind what a script printed last, where that is given."""
    before = [escape_control_chars(line) for line in output.splitlines()]
    print(*before, f"keras-repro: {escape_control_chars(message)}", sep="\n", file=sys.stderr)


def shown_path(path: str | Path) -> str:
    """A path, relative to the working folder where it is below it."""
    path = Path(path)
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
