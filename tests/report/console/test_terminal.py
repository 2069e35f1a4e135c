"""Errors and paths on a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_repro.report.console.terminal import print_error, shown_path


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
