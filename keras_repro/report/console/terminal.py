"""Print to a terminal or a pipe: a console of any width, single lines, errors, paths.

All output of the command line goes through here: no text in it is markup, a link or a control sequence.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.text import Text

from keras_repro.utils.text import error_line, escape_control_chars


def make_console(file: IO[str] | None = None, **settings: Any) -> Console:
    """Make a console for text that is not trusted.

    Args:
        file: where to print, as plain text if it is no terminal (default: standard output).
        settings: of `rich.console.Console`, in place of those chosen here.
    """
    file = file or standard_output()
    chosen: dict[str, Any] = {"width": None if file.isatty() else 100, "soft_wrap": False}
    plain: dict[str, Any] = {"markup": False, "highlight": False, "emoji": False}
    return _Console(file=file, **(chosen | settings | plain))


class _Console(Console):
    def render_str(self, text: str, *, style: Any = "", **settings: Any) -> Text:
        # rich calls this for every text that it gets: printed, in a cell, in a heading.
        return styled((text, style))

    def on_broken_pipe(self) -> None:
        # rich would exit with 1, which means that a difference was found.
        raise BrokenPipeError


def styled(*parts: tuple[object, Any]) -> Text:
    """Return parts of a line, each with its style; control characters in them are escaped."""
    return Text.assemble(*((escape_control_chars(text), style) for text, style in parts))


def print_line(console: Console, text: object, style: str = "") -> None:
    """Print one line with control characters escaped; it is never wrapped, so it can be copied whole."""
    console.print(styled((text, style)), soft_wrap=True)


def print_document(text: str) -> None:
    """Print a text of several lines on standard output, each with control characters escaped."""
    standard_output().write("".join(f"{escape_control_chars(line)}\n" for line in text.splitlines()))


def print_error(message: object, output: str = "") -> None:
    """Print an error on standard error, after the last lines that a script printed, if any."""
    lines = [escape_control_chars(line) for line in output.splitlines()]
    if sys.stderr is not None:
        print(*lines, error_line(message), sep="\n", file=sys.stderr)


def standard_output() -> IO[str]:
    """Return standard output.

    Raises:
        BrokenPipeError: it was closed before the program started.
    """
    if sys.stdout is None:
        raise BrokenPipeError
    return sys.stdout


def shown_path(path: str | Path) -> str:
    """Return a path, relative to the working folder if it is inside it."""
    path = Path(path)
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
