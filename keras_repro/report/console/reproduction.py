"""What `keras-repro reproduce` prints: what differs here, and a paragraph for a reviewer."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keras_repro.ledger.reader import open_ledger
from keras_repro.report.console.terminal import shown_path
from keras_repro.utils.text import escape_control_chars
from keras_repro.utils.untrusted_json import as_mapping
from keras_repro.workflows.reproduce.environment_diff import NOT_SET, EnvironmentDifference
from keras_repro.workflows.reproduce.reproduce import Preparation, Reproduction
from keras_repro.workflows.reproduce.run_spec import RunSpec

_NARROW = 80
_HEADS = {
    "missing": "missing here",
    "changed": "not what was recorded",
    "differs": "differs here",
}


def print_preparation(preparation: Preparation, console: Console) -> None:
    """Prints the command, where its script comes from, and what differs here."""
    recipe = preparation.recipe
    words = " ".join([_what(recipe), *preparation.task.arguments])
    _line(console, f"reproducing {shown_path(recipe.ledger.path)}, fingerprint {recipe.ledger.fingerprint}")
    how = "enforced, seed " + str(recipe.seed) if recipe.seed is not None else "observed"
    _line(console, f"command: {words} ({how})")
    if recipe.module is None and preparation.script_is_here:
        same = not any(f.what == recipe.script for f in preparation.findings)
        _line(console, f"script: yours, {recipe.script}" + (", as recorded" if same else ""))
    if not preparation.findings:
        _line(console, "nothing that was recorded of its surroundings differs here")
    for kind, head in _HEADS.items():
        found = [f for f in preparation.findings if f.kind == kind]
        if found:
            _line(console, f"{head}:")
            _print(found, console)
    for kind, head in (("pinned", "set as then"), ("left", "not set as then")):
        found = [f for f in preparation.findings if f.kind == kind]
        if found:
            named = ", ".join(f"{f.what}={f.then}" for f in found).replace(f"={NOT_SET}", f" ({NOT_SET})")
            _line(console, f"{head}: {named}")


def print_statement(reproduction: Reproduction, console: Console) -> None:
    """Prints the grade and the statement, on one line each."""
    grade = reproduction.grade
    for note in reproduction.comparison.notes:
        console.print(escape_control_chars(f"note: {note}"), style="yellow", markup=False, soft_wrap=True)
    _line(console, "")
    _line(console, statement(reproduction))
    style = "bold green" if grade.name == "bitwise" else "bold red"
    console.print(
        escape_control_chars(f"grade: {grade.name} ({grade.reason})"),
        style=style,
        markup=False,
        soft_wrap=True,
    )


def statement(reproduction: Reproduction) -> str:
    """What a reviewer needs to know, in one paragraph."""
    preparation, comparison = reproduction.preparation, reproduction.comparison
    recipe = preparation.recipe
    header = open_ledger(reproduction.ledger).header
    then, now = recipe.environment, as_mapping(header.get("environment"))
    created = str(recipe.ledger.header.get("created"))[:10]
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    text = [
        f"On {day}, the training '{recipe.command}', recorded on {created} with {_versions(then)} on "
        f"{_cpu(then)}, was run again with {_versions(now)} on {_cpu(now)}."
    ]
    differing = [f.what for f in preparation.findings if f.kind != "pinned"]
    if differing:
        more = f" and {len(differing) - 4} more" if len(differing) > 4 else ""
        text.append(f"Before it began, these were known to differ: {', '.join(differing[:4])}{more}.")
    pinned = [f.what for f in preparation.findings if f.kind == "pinned"]
    if pinned:
        text.append(
            f"{len(pinned)} setting{'s were' if len(pinned) > 1 else ' was'} put back to what was recorded."
        )
    fingerprint = comparison.runs[0]["fingerprint"]
    if comparison.verdict == "identical":
        text.append(
            f"All {comparison.compared} records ({comparison.covers}) agree to the bit; "
            f"both runs have the fingerprint {fingerprint}."
        )
    elif comparison.divergence is not None:
        text.append(f"They part: {comparison.divergence.describe().rstrip('.')}.")
        text.append(
            f"The recorded fingerprint is {fingerprint}, the new one {comparison.runs[1]['fingerprint']}."
        )
    else:
        text.append(f"The two cannot be compared: {comparison.reason}.")
    text.append(f"Grade: {reproduction.grade.name} ({reproduction.grade.reason}).")
    return " ".join(text)


def _print(found: Sequence[EnvironmentDifference], console: Console) -> None:
    if console.width < _NARROW:
        for one in found:
            _line(console, f"  {one.what}: {one.then} -> {one.here or '-'}")
            _line(console, f"    {one.implies}")
        return
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 2))
    for _ in range(4):
        table.add_column(overflow="fold")
    for one in found:
        table.add_row(
            *(Text(escape_control_chars(t)) for t in (one.what, one.then, one.here or "-", one.implies))
        )
    console.print(table)


def _what(recipe: RunSpec) -> str:
    return str(recipe.script) if recipe.module is None else f"-m {recipe.module}"


def _versions(environment: Mapping[str, Any]) -> str:
    found = as_mapping(environment.get("frameworks"))
    return f"TensorFlow {found.get('tensorflow', '?')} and Keras {found.get('keras', '?')}"


def _cpu(environment: Mapping[str, Any]) -> str:
    cpu = as_mapping(environment.get("cpu"))
    count = cpu.get("available", "?")
    return f"{cpu.get('model') or 'an unknown CPU'} ({count} CPU{'' if count == 1 else 's'})"


def _line(console: Console, text: str) -> None:
    console.print(escape_control_chars(text), markup=False, soft_wrap=True)
