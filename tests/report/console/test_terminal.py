"""Errors and paths on a terminal."""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import TESTS
from rich.table import Table

from keras_repro.report.console.progress import PlainColumn, Progress
from keras_repro.report.console.terminal import (
    make_console,
    print_document,
    print_error,
    print_line,
    shown_path,
    styled,
)

HOSTILE = "[link=http://evil.example]x[/link] [/] :boom: \x1b]8;;http://evil.example\x07y\r\u202e"
ESCAPED = r"[link=http://evil.example]x[/link] [/] :boom: \x1b]8;;http://evil.example\x07y\x0d\u202e"
PACKAGE = TESTS.parent / "keras_repro"
# Calls that print, or that make something for rich to print.
PRINTING = {
    "print",
    "write",
    "Text",
    "Console",
    "from_markup",
    "from_ansi",
    "assemble",
    "TextColumn",
    "Style",
}
# The modules that call them; a child prints to the script's own terminal.
ALLOWED = {
    "report/console/terminal.py": {"print", "write", "assemble"},
    "training/instrumentation/child_main.py": {"print"},
    "training/instrumentation/script_observer.py": {"print"},
}


def test_error_follows_the_output_of_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    print_error("no script at \x1b[2Jx.py")
    print_error("run 1 failed\nkeras-repro: fine\x07", "Traceback:\n  1 / 0\x1b")
    assert capsys.readouterr().err == (
        "keras-repro: no script at \\x1b[2Jx.py\nTraceback:\n  1 / 0\\x1b\n"
        "keras-repro: run 1 failed\\x0akeras-repro: fine\\x07\n"
    )


def test_paths_are_relative_to_the_working_folder(here: Path) -> None:
    assert shown_path(here / "runs" / "a") == "runs/a"
    assert shown_path("runs/a") == "runs/a"
    assert shown_path("/usr") == "/usr"


@pytest.mark.parametrize("terminal", ["", "1"])
def test_text_is_never_markup(monkeypatch: pytest.MonkeyPatch, terminal: str) -> None:
    monkeypatch.setenv("FORCE_COLOR", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    file = io.StringIO()
    console = make_console(file)
    table = Table(title=HOSTILE)
    table.add_column(HOSTILE, no_wrap=True)
    table.add_row(HOSTILE)
    table.add_row(styled((HOSTILE, "red")))
    console.width = 300
    console.print(table)
    console.print(HOSTILE, HOSTILE)
    print_line(console, HOSTILE)
    with Progress(PlainColumn("{task.description}"), console=console) as progress:
        progress.add_task(HOSTILE)
    printed = file.getvalue()
    assert printed.count(ESCAPED) >= 7
    assert ("\x1b[31m" in printed) == bool(terminal)
    assert "\x1b]" not in printed
    assert "\x07" not in printed


def test_document_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_document("# a\n\n\x1b[2J[b](c)\n")
    assert capsys.readouterr().out == "# a\n\n\\x1b[2J[b](c)\n"


def printing_calls(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of each call in it that prints."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            owner, _, name = ast.unparse(node.func).rpartition(".")
            on_console = name == "print" and owner  # `Console.print` escapes what it prints
            in_file = name == "write" and owner not in ("sys.stdout", "sys.stderr", "standard_output()")
            if name in PRINTING and not on_console and not in_file:
                yield path.relative_to(PACKAGE).as_posix(), name


def test_all_output_goes_through_the_terminal_module() -> None:
    calls = [call for path in PACKAGE.rglob("*.py") for call in printing_calls(path)]
    assert {(module, name) for module, names in ALLOWED.items() for name in names} == set(calls)


def test_printing_elsewhere_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    (tmp_path / "x.py").write_text(
        "print(1)\nsys.stderr.write(2)\nrich.text.Text.from_markup(3)\nfile.write(4)\n"
    )
    assert list(printing_calls(tmp_path / "x.py")) == [
        ("x.py", "print"),
        ("x.py", "write"),
        ("x.py", "from_markup"),
    ]
