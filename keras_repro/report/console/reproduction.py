"""Print `keras-repro reproduce`: differences of this machine, grade, and a paragraph for a reviewer."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from keras_repro.report import environment_text
from keras_repro.report.console.terminal import print_line, shown_path
from keras_repro.report.text import counted
from keras_repro.utils.text import first_few
from keras_repro.utils.untrusted_json import as_mapping
from keras_repro.workflows.reproduce.environment_diff import NOT_SET, EnvironmentDifference
from keras_repro.workflows.reproduce.reproduce import Preparation, Reproduction

_NARROW = 80
_MOST_NAMES = 4
_HEADINGS = {
    "missing": "missing here",
    "changed": "changed since the recording",
    "differs": "differs here",
}


def print_preparation(preparation: Preparation, console: Console) -> None:
    """Print the command, the script that is run, and the differences of this machine."""
    spec = preparation.spec
    script = str(spec.script) if spec.module is None else f"-m {spec.module}"
    words = " ".join([script, *preparation.task.arguments])
    mode = f"enforced, seed {spec.seed}" if spec.seed is not None else "observed"
    print_line(console, f"reproducing {shown_path(spec.ledger.path)}, fingerprint {spec.ledger.fingerprint}")
    print_line(console, f"command: {words} ({mode})")
    if spec.module is None and preparation.script_is_here:
        same = not any(f.what == spec.script for f in preparation.differences)
        print_line(console, f"script: your file {spec.script}" + (", as recorded" if same else ""))
    if not preparation.differences:
        print_line(console, "the recorded environment is the same here")
    for kind, heading in _HEADINGS.items():
        differences = [f for f in preparation.differences if f.kind == kind]
        if differences:
            print_line(console, f"{heading}:")
            _print_differences(differences, console)
    for kind, heading in (("pinned", "set as recorded"), ("left", "not set as recorded")):
        settings = [
            f"{f.what} ({NOT_SET})" if f.then == NOT_SET else f"{f.what}={f.then}"
            for f in preparation.differences
            if f.kind == kind
        ]
        if settings:
            print_line(console, f"{heading}: {', '.join(settings)}")


def print_statement(reproduction: Reproduction, console: Console) -> None:
    """Print the notes, the statement and the grade, one line each."""
    grade = reproduction.grade
    for note in reproduction.comparison.notes:
        print_line(console, f"note: {note}", "yellow")
    print_line(console, "")
    print_line(console, " ".join(_statement(reproduction)))
    style = "bold green" if grade.name == "bitwise" else "bold red"
    print_line(console, f"grade: {grade.name} ({grade.reason})", style)


def _statement(reproduction: Reproduction) -> Iterator[str]:
    """Yield the sentences of a paragraph for a reviewer."""
    preparation, comparison = reproduction.preparation, reproduction.comparison
    spec = preparation.spec
    recorded = spec.environment
    present = as_mapping(comparison.ledgers[1].header.get("environment"))
    created = str(spec.ledger.header.get("created"))[:10]
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    yield (
        f"On {day}, the training '{spec.command}', recorded on {created} with "
        f"{_machine(recorded)}, was run again with {_machine(present)}."
    )
    differing = [f.what for f in preparation.differences if f.kind != "pinned"]
    if differing:
        yield f"Known differences before the start: {first_few(differing, _MOST_NAMES)}."
    if pinned := len(preparation.differences) - len(differing):
        yield f"{counted(pinned, 'setting')} {'was' if pinned == 1 else 'were'} set as recorded."
    fingerprint, new_fingerprint = (run["fingerprint"] for run in comparison.runs)
    if comparison.verdict == "identical":
        yield (
            f"All {comparison.compared} records ({comparison.covers}) are bit-identical; "
            f"both runs have the fingerprint {fingerprint}."
        )
    elif comparison.divergence is not None:
        yield f"The runs diverged: {comparison.divergence.describe().rstrip('.')}."
        yield f"The recorded fingerprint is {fingerprint}, the new one {new_fingerprint}."
    else:
        yield f"The runs cannot be compared: {comparison.reason}."
    yield f"Grade: {reproduction.grade.name} ({reproduction.grade.reason})."


def _print_differences(differences: Sequence[EnvironmentDifference], console: Console) -> None:
    if console.width < _NARROW:
        for difference in differences:
            print_line(console, f"  {difference.what}: {difference.then} -> {difference.here or '-'}")
            print_line(console, f"    {difference.implies}")
        return
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 2))
    for _ in range(4):
        table.add_column(overflow="fold")
    for difference in differences:
        table.add_row(difference.what, difference.then, difference.here or "-", difference.implies)
    console.print(table)


def _machine(environment: Mapping[str, Any]) -> str:
    cpu = environment_text.hardware(environment)[:1] or ["an unknown CPU"]
    return f"{environment_text.versions_text(environment) or 'unknown versions'} on {cpu[0]}"
