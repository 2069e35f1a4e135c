"""What the commands print: short, readable at any width, without colour, and piped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keras_repro.comparison.distances.summary import DistanceAt, DistanceSummary, LayerDistance
from keras_repro.comparison.distances.tensor_distance import ExactDistance
from keras_repro.comparison.result import Comparison
from keras_repro.ledger.position_text import position_text
from keras_repro.ledger.reader import LedgerReader, open_ledger
from keras_repro.ledger.schema import Record
from keras_repro.report.console.terminal import print_line
from keras_repro.utils.text import escape_control_chars

_DIGITS = 7
_MOST_ROWS = 60
_MOST_METRICS = 4
_NEAR = 8
_MOST = 3
_LONGEST = 44


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Prints the table of epochs, notes, and the verdict with the fingerprint as the last line."""
    ledgers = [open_ledger(r["ledger"]) for r in comparison.runs]
    if comparison.verdict != "incomparable":
        _print_epochs(ledgers, comparison, console)
    for note in comparison.notes:
        print_line(console, f"note: {note}", "yellow")
    print_verdict(comparison, console)


def print_verdict(comparison: Comparison, console: Console) -> None:
    """Prints the verdict: a line to paste into a paper where the runs are identical."""
    if comparison.verdict == "identical":
        versions = _versions(open_ledger(comparison.runs[0]["ledger"]))
        print_line(console, f"covers: {comparison.covers}. Agreeing runs do not exclude a rare race.")
        over = f" over {comparison.within}" if comparison.within else ""
        runs = len({open_ledger(r["ledger"]).digest for r in comparison.runs})
        what = f"{runs} runs, bit for bit{versions}" if runs > 1 else f"one run beside itself{versions}"
        text = f"identical{over}: {what}, fingerprint "
        print_line(console, text + str(comparison.runs[0]["fingerprint"]), "bold green")
    elif comparison.divergence is not None:
        divergence = comparison.divergence
        for text in () if comparison.how_far is None else how_far_lines(comparison.how_far):
            print_line(console, text)
        if comparison.grade is not None:
            print_line(console, f"grade: {comparison.grade.name}; {comparison.grade.reason}")
        print_line(console, f"cause: {divergence.cause}")
        others = divergence.tensors[1:6]
        if others:
            names = ", ".join(t["tensor"] for t in others)
            more = len(divergence.tensors) - 1 - len(others)
            print_line(console, f"also: {names}" + (f" and {more} more" if more else ""))
        print_line(console, f"diverged: {divergence.describe()}", "bold red")


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


def how_far_lines(found: DistanceSummary) -> Iterator[str]:
    """The lines: where the weights part and in the end, the layers that are furthest apart.

    Each line fits into 60 columns. `~` stands before what was estimated.
    """
    if found.parting.largest is None and found.end.largest is None:
        reason = "; ".join(found.notes) or "no layer is in both runs"
        yield f"how far apart: not known; {escape_control_chars(reason)}"
        return
    if found.parting.at == found.end.at:
        yield from _place(found.end, "how far apart")
    else:
        yield from _place(found.parting, "how far apart where weights part")
        yield from _place(found.end, "how far apart in the end")
    for tensor in found.end.tensors[:1]:
        yield from _exact(tensor)
    for note in found.notes:
        yield f"  {escape_control_chars(note)}"


def _place(apart: DistanceAt, title: str) -> Iterator[str]:
    yield f"{title}, {apart.at}: {len(apart.layers)} of {apart.of} layers"
    known = [layer for layer in apart.layers if layer.distance is not None]
    for layer in known[:_MOST]:
        yield f"  {_size(layer):>8}  {_shortened(_name(layer))}"
    if len(apart.layers) > len(known):
        yield f"         ?  {len(apart.layers) - len(known)} layers, not known how far"


def _exact(tensor: ExactDistance) -> Iterator[str]:
    """What snapshots tell of a tensor."""
    name = _shortened(escape_control_chars(tensor.tensor))
    yield f"  {name}: {tensor.elements:,} of {tensor.of:,} elements,"
    at = "" if tensor.index is None else f" at {list(tensor.index)}"
    ulps = "" if tensor.ulps is None else f"{_count(tensor.ulps)} ULPs at most; "
    largest = "not finite" if tensor.largest is None else f"{tensor.largest:.2g}"
    yield f"    by {ulps}{largest}{at}"


def _count(number: int) -> str:
    return f"{number:,}" if number < 1_000_000 else f"{number:.1e}"


def _name(layer: LayerDistance) -> str:
    same = layer.title == layer.layer
    return escape_control_chars(layer.layer if same else f"{layer.layer} ({layer.title})")


def _size(layer: LayerDistance) -> str:
    return f"{'' if layer.exact else '~'}{layer.distance:.2g}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"...{text[3 - _LONGEST :]}"
