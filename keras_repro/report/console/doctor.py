"""Print `keras-repro doctor`: each switch, its effective value, and how to pin it.

>>> from keras_repro.determinism.switch_table import Reading
>>> from keras_repro.report.console.terminal import make_console
>>> render_doctor([Reading("onednn", True, True, True)], {}, make_console())
Python      not recorded
...
1 of 1 switches pinned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from keras_repro.determinism.switch_table import SWITCHES, Reading
from keras_repro.report import environment_text
from keras_repro.report.console.terminal import print_line, styled

_STYLES = {"pinned": "green", "NOT IN EFFECT": "bold red", "not pinned": "yellow"}
_PURPOSES = {s.name: s.what for s in SWITCHES}
_FIX_OF_ALL = ", or: keras-repro run SCRIPT"


def render_doctor(readings: Sequence[Reading], environment: Mapping[str, Any], console: Console) -> None:
    """Print this machine, the table of switches, and the fixes.

    Args:
        readings: the result of `probe_switches` or `read_switches`.
        environment: the result of `provenance.environment.gather`.
        console: where to print; of any width, with or without colour.
    """
    console.print(_machine(environment))
    console.print()
    console.print(_table(readings))
    _print_fixes(readings, console)
    _print_summary(readings, console)


def _machine(environment: Mapping[str, Any]) -> Table:
    gpus = environment_text.gpus(environment)
    rows = {
        **environment_text.versions(environment),
        "Hardware": "; ".join(environment_text.hardware(environment)),
        "GPU": None if gpus is None else str(len(gpus) or "none"),
        "System": environment_text.system(environment),
    }
    grid = Table.grid(padding=(0, 2), pad_edge=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows.items():
        grid.add_row(f"{name:<10}", value or environment_text.NOT_RECORDED)
    return grid


def _table(readings: Sequence[Reading]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("switch", "requested", "effective", "status"):
        table.add_column(name, overflow="fold")
    for reading in readings:
        status = _status(reading)
        values = map(environment_text.switch_value, (reading.requested, reading.achieved))
        table.add_row(reading.name, *values, styled((status, _STYLES.get(status, "dim"))))
    return table


def _print_fixes(readings: Sequence[Reading], console: Console) -> None:
    """Print each fix on one line that can be copied, those of switches not in effect first."""
    for reading in sorted(readings, key=lambda r: r.ok is not False):
        if not reading.fix or reading.ok:
            continue
        style = "bold red" if reading.ok is False else "bold"
        purpose = f": {_PURPOSES[reading.name]}" if reading.name in _PURPOSES else ""
        console.print()
        console.print(styled((reading.name, style), (purpose, "")))
        fix = reading.fix.removesuffix(_FIX_OF_ALL)
        if console.is_terminal:
            console.print(Padding(fix, (0, 0, 0, 2)))
        else:
            print_line(console, f"  {fix}")


def _print_summary(readings: Sequence[Reading], console: Console) -> None:
    statuses = [_status(r) for r in readings]
    pinned, missed = statuses.count("pinned"), statuses.count("NOT IN EFFECT")
    total = pinned + missed + statuses.count("not pinned") + statuses.count("not known")
    text = f"{pinned} of {total} switches pinned."
    if missed:
        names = ", ".join(r.name for r in readings if r.ok is False)
        text = f"Requested and NOT in effect: {names}. {text}"
    console.print()
    console.print(styled((text, "bold red" if missed else "bold")))
    if pinned < total:
        console.print("To pin all of them before Python starts: keras-repro run SCRIPT")


def _status(reading: Reading) -> str:
    return environment_text.switch_status(reading.ok, reading.achieved)
