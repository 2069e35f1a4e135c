"""What `keras-repro doctor` prints: each switch, what is in effect, and how to pin it.

>>> from keras_repro.control.switches import Reading
>>> from keras_repro.present.console import make_console
>>> render_doctor([Reading("onednn", True, True, True)], {}, make_console())  # doctest: +ELLIPSIS
Python      not recorded
...
1 of 1 switches pinned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keras_repro.control.switches import SWITCHES, Reading
from keras_repro.present.console import visible

NOT_RECORDED = "not recorded"
_STYLES = {"pinned": "green", "NOT IN EFFECT": "bold red", "not pinned": "yellow"}
_WHAT = {s.name: s.what for s in SWITCHES}


def render_doctor(readings: Sequence[Reading], environment: Mapping[str, Any], console: Console) -> None:
    """Prints this machine, the table of switches, and below it what to do.

    Args:
        readings: what `probe_switches` or `read_switches` returned.
        environment: what `record.environment.gather` returned.
        console: where to; at any width, with and without colour.
    """
    for name, value in _surroundings(environment):
        line = Text(f"{name:<12}", style="bold")
        console.print(line.append(visible(value), style="not bold"), soft_wrap=False)
    console.print()
    console.print(_table(readings))
    _print_fixes(readings, console)
    _print_summary(readings, console)


def shown_value(value: Any) -> str:
    """A switch's value in words."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={shown_value(v)}" for k, v in value.items()) or "defaults"
    return visible(value)


def status(reading: Reading) -> str:
    """How a switch stands, in two words."""
    if reading.ok is not None:
        return "pinned" if reading.ok else "NOT IN EFFECT"
    if reading.achieved == "no GPU":
        return "no GPU"
    if reading.achieved is None:
        return "not known"
    return "defaults" if reading.achieved == {} else "not pinned"


def hardware(environment: Mapping[str, Any]) -> list[str]:
    """CPU, memory and GPUs of a recorded environment, one text each; empty where none was recorded."""
    texts = []
    cpu = environment.get("cpu")
    if isinstance(cpu, Mapping):
        cores = f"{cpu.get('available') or '?'} of {cpu.get('logical') or '?'} cores"
        texts.append(f"{cpu.get('model') or 'CPU without a name'}, {cores}")
    memory = environment.get("memory_bytes")
    if isinstance(memory, int):
        texts.append(f"{memory / 2**30:.1f} GiB memory")
    for gpu in environment.get("gpu") or ():
        if isinstance(gpu, Mapping):
            size = gpu.get("memory_bytes")
            amount = f" ({size / 2**30:.0f} GiB)" if isinstance(size, int) else ""
            texts.append(f"{gpu.get('model')}{amount}")
    return texts


def package_version(environment: Mapping[str, Any], *names: str) -> str | None:
    """The version of the first of these packages that was recorded."""
    packages = environment.get("packages")
    found = packages if isinstance(packages, Mapping) else {}
    return next((str(found[n]) for n in names if found.get(n)), None)


TENSORFLOW_PACKAGES = ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-macos")


def _surroundings(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    python = environment.get("python")
    system = environment.get("os")
    gpus = environment.get("gpu")
    rows = {
        "Python": python.get("version") if isinstance(python, Mapping) else None,
        "TensorFlow": package_version(environment, *TENSORFLOW_PACKAGES),
        "Keras": package_version(environment, "keras"),
        "Hardware": "; ".join(hardware(environment)),
        "GPU": "none" if gpus == [] else None if gpus is None else f"{len(gpus)}",
        "System": _system(system) if isinstance(system, Mapping) else None,
    }
    return [(name, str(value or NOT_RECORDED)) for name, value in rows.items()]


def _system(facts: Mapping[str, Any]) -> str:
    return ", ".join(str(facts[k]) for k in ("version", "release", "machine") if facts.get(k))


def _table(readings: Sequence[Reading]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("switch", "requested", "achieved", "status"):
        table.add_column(name, overflow="fold")
    for reading in readings:
        words = status(reading)
        table.add_row(
            Text(visible(reading.name)),
            Text(shown_value(reading.requested)),
            Text(shown_value(reading.achieved)),
            Text(words, style=_STYLES.get(words, "dim")),
        )
    return table


def _print_fixes(readings: Sequence[Reading], console: Console) -> None:
    """Those not in effect first; each fix whole, on a line to copy."""
    open_ones = [r for r in readings if r.fix and r.ok is not True]
    for reading in sorted(open_ones, key=lambda r: r.ok is not False):
        what = _WHAT.get(reading.name)
        style = "bold red" if reading.ok is False else "bold"
        heading = Text(visible(reading.name), style=style)
        console.print()
        console.print(heading.append(f": {what}" if what else "", style="not bold"))
        console.print(Text(f"  {visible(reading.fix)}"), soft_wrap=not console.is_terminal)


def _print_summary(readings: Sequence[Reading], console: Console) -> None:
    relevant = [r for r in readings if status(r) not in ("no GPU", "defaults")]
    pinned = sum(r.ok is True for r in relevant)
    missed = [visible(r.name) for r in readings if r.ok is False]
    text = f"{pinned} of {len(relevant)} switches pinned"
    if missed:
        text += f"; requested and NOT in effect: {', '.join(missed)}"
    console.print()
    console.print(Text(f"{text}.", style="bold red" if missed else "bold"))
    if pinned < len(relevant) and not missed:
        line = "All of them at once: keras-repro run SCRIPT, or keras-repro verify --enforce SCRIPT"
        console.print(Text(line), soft_wrap=not console.is_terminal)
