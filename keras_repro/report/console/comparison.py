"""Print a comparison: a table of epochs, distances, notes, and the verdict as the last line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.table import Table

from keras_repro.comparison.distances.summary import DistanceAt, DistanceSummary, LayerDistance
from keras_repro.comparison.distances.tensor_distance import ExactDistance
from keras_repro.comparison.result import Comparison
from keras_repro.ledger.position_text import position_text
from keras_repro.ledger.reader import LedgerReader
from keras_repro.ledger.schema import Record
from keras_repro.report import environment_text
from keras_repro.report.console.diagnosis import print_explanation
from keras_repro.report.console.terminal import print_line, styled
from keras_repro.report.text import shorten_middle
from keras_repro.root_cause.explanation import Explanation
from keras_repro.storage.digest import section_digest
from keras_repro.utils.text import escape_control_chars, first_few

_DIGITS = 7
_MOST_ROWS = 60
_MOST_METRICS = 4
_NEAR = 8  # rows shown at each end, and around the first difference
_MOST_LAYERS = 3
_MOST_TENSORS = 5
_LONGEST_NAME = 44


def print_comparison(
    comparison: Comparison,
    console: Console,
    explanation: Explanation | None = None,
    *,
    how_to_explain: str = "",
) -> None:
    """Print the table of epochs, the notes, and the verdict with the fingerprint as the last line.

    Args:
        comparison: the comparison.
        console: where to print.
        explanation: why the runs diverged, if it was diagnosed; it is printed last.
        how_to_explain: what finds a cause that is unknown.
    """
    if comparison.verdict != "incomparable":
        _print_epochs(comparison.ledgers, console)
    for note in comparison.notes:
        print_line(console, f"note: {note}", "yellow")
    if comparison.verdict == "identical":
        _print_identical(comparison, console)
    elif comparison.divergence is not None:
        _print_divergence(comparison, console, explanation, how_to_explain)


def distance_lines(summary: DistanceSummary) -> Iterator[str]:
    """Yield short lines: the most distant layers where the weights diverge and at the end.

    `~` marks an estimate.
    """
    if summary.first.largest is None and summary.end.largest is None:
        reason = "; ".join(summary.notes) or "no layer is in both runs"
        yield f"distance: unknown; {escape_control_chars(reason)}"
        return
    if summary.first.at == summary.end.at:
        yield from _layer_lines(summary.end, "distance")
    else:
        yield from _layer_lines(summary.first, "distance where weights diverge")
        yield from _layer_lines(summary.end, "distance at the end")
    for tensor in summary.end.tensors[:1]:
        yield from _tensor_lines(tensor)
    for note in summary.notes:
        yield f"  {escape_control_chars(note)}"


def _print_identical(comparison: Comparison, console: Console) -> None:
    """Print the coverage, and a line to paste into a paper."""
    print_line(
        console,
        f"covers: {comparison.covers}. Note: identical runs do not rule out a rare race condition.",
    )
    over = f" over {comparison.within}" if comparison.within else ""
    runs = len({ledger.identity for ledger in comparison.ledgers})
    what = f"{runs} runs, bit for bit" if runs > 1 else "one run compared with itself"
    if comparison.ledgers[0].fit is not None:
        what = "two fits of one run, bit for bit"
    fingerprint = comparison.runs[0]["fingerprint"]
    text = f"identical{over}: {what}{_versions(comparison.ledgers[0])}, fingerprint {fingerprint}"
    print_line(console, text, "bold green")


def _print_divergence(
    comparison: Comparison, console: Console, explanation: Explanation | None, how_to_explain: str
) -> None:
    divergence = comparison.divergence
    assert divergence is not None
    for line in () if comparison.how_far is None else distance_lines(comparison.how_far):
        print_line(console, line)
    if comparison.grade is not None:
        print_line(console, f"grade: {comparison.grade.name}; {comparison.grade.reason}")
    if explanation is not None:  # it names the cause and the tensors
        print_line(console, f"diverged: {replace(divergence, explanation=None).describe()}", "bold red")
        print_explanation(explanation, console)
        return
    hint = f" ({how_to_explain})" if divergence.cause == "unknown" and how_to_explain else ""
    print_line(console, f"cause: {divergence.cause}{hint}")
    others = [t["tensor"] for t in divergence.tensors[1:]]
    if others:
        print_line(console, f"also: {first_few(others, _MOST_TENSORS)}")
    print_line(console, f"diverged: {divergence.describe()}", "bold red")


def _versions(ledger: LedgerReader) -> str:
    versions = environment_text.versions(ledger.header["environment"])
    return "".join(f", {n} {versions[n]}" for n in ("TensorFlow", "Keras") if versions[n])


@dataclass(frozen=True, kw_only=True)
class _Row:
    """An epoch or a result: its metrics in the first run that has it, and the state digest of each run."""

    name: str
    metrics: Mapping[str, Any]
    digests: tuple[str | None, ...]


def _print_epochs(ledgers: Sequence[LedgerReader], console: Console) -> None:
    rows = list(_rows(ledgers))
    if not rows:
        return
    columns = _metric_columns(rows, console.width, len(ledgers))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("epoch", justify="right", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for number, ledger in enumerate(ledgers, start=1):
        table.add_column(f"run {number}" if ledger.fit is None else f"fit {ledger.fit + 1}", no_wrap=True)
    shown = _shown(rows)
    for number, row in enumerate(rows):
        if number in shown:
            digests = (styled((d or "-", "" if d == row.digests[0] else "bold red")) for d in row.digests)
            table.add_row(row.name, *(_number(row.metrics.get(name)) for name in columns), *digests)
        elif number - 1 in shown:
            table.add_row("...")
    console.print(table)


def _rows(ledgers: Sequence[LedgerReader]) -> Iterator[_Row]:
    """Yield a row for each epoch and result."""
    recorded = [
        {r.position: r for r in ledger.typed_records() if r.kind in ("epoch", "evaluation", "prediction")}
        for ledger in ledgers
    ]
    positions = dict.fromkeys(position for records in recorded for position in records)
    firsts = [next(records[p] for records in recorded if p in records) for p in positions]
    counts = Counter(record.kind for record in firsts)
    counts["fit"] = len({record.fit for record in firsts if record.kind == "epoch"})
    for position, record in zip(positions, firsts, strict=True):
        yield _Row(
            name=_row_name(record, counts),
            metrics=record.metrics,
            digests=tuple(
                section_digest(dict(records[position].sections))[:_DIGITS] if position in records else None
                for records in recorded
            ),
        )


def _row_name(record: Record, counts: Mapping[str, int]) -> str:
    """Return an epoch's number, after that of its fit if there are several; all counted from 1."""
    if record.epoch is not None:
        fit = f"fit {(record.fit or 0) + 1}: " if counts["fit"] > 1 else ""
        return f"{fit}{record.epoch + 1}"
    if counts[record.kind] > 1 and record.index is not None:
        return position_text(record.kind, index=record.index)
    return record.kind


def _metric_columns(rows: Sequence[_Row], width: int, runs: int) -> list[str]:
    names = dict.fromkeys(["loss", "accuracy", *(n for row in rows for n in row.metrics)])
    free = width - max(len("epoch"), *(len(row.name) for row in rows)) - runs * (_DIGITS + 2)
    columns: list[str] = []
    for name in names:
        cells = [_number(row.metrics.get(name)) for row in rows]
        needed = 2 + max(map(len, [escape_control_chars(name), *cells]))
        if any(cells) and needed <= free and len(columns) < _MOST_METRICS:
            columns.append(name)
            free -= needed
    return columns


def _shown(rows: Sequence[_Row]) -> set[int]:
    """Return the numbers of all rows, or, of many, those at both ends and around the first difference."""
    numbers = range(len(rows))
    if len(rows) <= _MOST_ROWS:
        return set(numbers)
    first_difference = next((i for i, row in enumerate(rows) if len(set(row.digests)) > 1), len(rows))
    around = numbers[max(0, first_difference - _NEAR // 2) : first_difference + _NEAR // 2 + 1]
    return {*numbers[:_NEAR], *around, *numbers[-_NEAR:]}


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    return "" if value is None else escape_control_chars(value)[:10]


def _layer_lines(distance: DistanceAt, title: str) -> Iterator[str]:
    yield f"{title}, {distance.at}: {len(distance.layers)} of {distance.of} layers"
    known = [layer for layer in distance.layers if layer.distance is not None]
    for layer in known[:_MOST_LAYERS]:
        size = f"{'' if layer.exact else '~'}{layer.distance:.2g}"
        yield f"  {size:>8}  {_layer_name(layer)}"
    if len(distance.layers) > len(known):
        yield f"         ?  {len(distance.layers) - len(known)} layers, distance unknown"


def _tensor_lines(tensor: ExactDistance) -> Iterator[str]:
    """Yield the exact difference of a tensor, read from snapshots."""
    name = shorten_middle(escape_control_chars(tensor.tensor), _LONGEST_NAME)
    yield f"  {name}: {tensor.elements:,} of {tensor.of:,} elements differ"
    largest = "not finite" if tensor.largest is None else f"{tensor.largest:.2g}"
    at = "" if tensor.index is None else f" at {list(tensor.index)}"
    ulps = "" if tensor.ulps is None else f", {_count(tensor.ulps)} ULPs"
    yield f"    largest: {largest}{at}{ulps}"


def _count(number: int) -> str:
    return f"{number:,}" if number < 1_000_000 else f"{number:.1e}"


def _layer_name(layer: LayerDistance) -> str:
    name = layer.layer if layer.title == layer.layer else f"{layer.layer} ({layer.title})"
    return shorten_middle(escape_control_chars(name), _LONGEST_NAME)
