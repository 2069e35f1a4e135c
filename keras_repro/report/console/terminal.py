"""Print to a terminal or a pipe: a console of any width, single lines, errors, paths."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.text import Text

from keras_repro.utils.text import escape_control_chars


def make_console(file: IO[str] | None = None) -> Console:
    """Make a console that prints to `file` (default: standard output), as plain text if it is no terminal."""
    file = file or sys.stdout
    width = None if file.isatty() else 100
    return _Console(file=file, highlight=False, soft_wrap=False, width=width, emoji=False)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich would exit with 1, which means that a difference was found.
        raise BrokenPipeError


def print_line(console: Console, text: object, style: str = "") -> None:
    """Print one line with control characters escaped; it is never wrapped, so it can be copied whole."""
    console.print(Text(escape_control_chars(text), style=style), soft_wrap=True)


def print_error(message: object, output: str = "") -> None:
    """Print an error on standard error, after the last lines that a script printed, if any."""
    lines = [escape_control_chars(line) for line in output.splitlines()]
    print(*lines, f"keras-repro: {escape_control_chars(message)}", sep="\n", file=sys.stderr)


def shown_path(path: str | Path) -> str:
    """Return a path, relative to the working folder if it is inside it."""
    path = Path(path)
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
