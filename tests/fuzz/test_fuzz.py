"""A short form of `make fuzz`, and the fuzzer itself: it finds faults that are planted in each output."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from conftest import TESTS

SCORE = TESTS / "fuzz" / "score.py"

# Control characters in the terminal, markup on pages, exit code 1 for equal runs, an unexpected error.
FAULTS = """
import runpy, sys
from keras_repro.cli.commands import diagnose, reproduce
from keras_repro.report.console import terminal
from keras_repro.report.html import page
from keras_repro.report.paper import markdown
terminal.escape_control_chars = str
markdown.escaped = lambda value: markdown.Markdown(value)
unescaped = {"autoescape": False}
environment = page.template_environment
page.template_environment = lambda product, **settings: environment(product, **settings | unescaped)
diagnose.comparison_exit_code = lambda comparison: 1
def fails(*arguments, **options):
    raise ZeroDivisionError
reproduce.prepare = fails
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def fuzz(folder: Path, *arguments: object) -> str:
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TMPDIR": str(folder)})
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def test_mutated_files_harm_nothing(tmp_path: Path) -> None:
    printed = fuzz(tmp_path, SCORE, "--cases", 100)
    assert printed.startswith("100 cases, 0 bad; "), printed
    for answer in ("compare 0", "compare 1", "compare 2", "report 0", "report 2", "reproduce 2"):
        assert f"  {answer}\n" in printed


def test_planted_faults_are_found(tmp_path: Path) -> None:
    code = f"import sys; sys.argv[:] = [{str(SCORE)!r}, '--cases', '240', '--seed', '3']\n{FAULTS}"
    printed = fuzz(tmp_path, "-c", code)
    for problem in (
        "exit code 1, but the chains are equal",
        "control characters in the output: ",
        "in the Markdown: ",
        "from a file in the page: ['krevil'",
        "an internal error: ",
    ):
        assert problem in printed, printed
