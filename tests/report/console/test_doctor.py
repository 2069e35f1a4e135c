"""The output of `keras-repro doctor`: readable at any width, complete, without colour in a pipe."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

from keras_repro.determinism.switch_table import SWITCHES, Reading
from keras_repro.report.console.doctor import render_doctor
from keras_repro.report.console.terminal import make_console

ENVIRONMENT: dict[str, Any] = {
    "python": {"version": "3.11.7"},
    "packages": {"tensorflow": "2.21.0", "keras": "3.15.1"},
    "cpu": {"model": "EPYC 9", "logical": 8, "available": 2},
    "memory_bytes": 2**34,
    "gpu": [],
    "os": {"version": "Debian 12", "release": "6.1", "machine": "x86_64"},
}
LATE = Reading("hash_seed", 7, "random", False, "start with: PYTHONHASHSEED=7 python ...")
FIX = "start with: TF_XLA_FLAGS=--tf_xla_auto_jit=-1 python ..., or: keras-repro run SCRIPT"
READINGS = [
    Reading("onednn", True, True, True),
    Reading("xla_auto_jit", None, False, None, FIX),
    Reading("onednn_isa", None, None, None, "TensorFlow has not started yet"),
    Reading("tf32", False, "no GPU"),
    Reading("graph_optimizer", None, {}),
    LATE,
]


def printed(readings: list[Reading], width: int, **options: Any) -> str:
    console = make_console(io.StringIO(), width=width, **options)
    render_doctor(readings, ENVIRONMENT, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 120])
@pytest.mark.parametrize("options", [{}, {"force_terminal": True, "color_system": None}])
def test_each_switch_has_its_row(width: int, options: dict[str, Any]) -> None:
    text = printed(READINGS, width, **options)
    rows = [re.split(r"\s{2,}", r.strip()) for r in text.splitlines()]
    assert ["onednn", "on", "on", "pinned"] in rows
    assert ["xla_auto_jit", "-", "off", "not pinned"] in rows
    assert ["onednn_isa", "-", "-", "not known"] in rows
    assert ["tf32", "off", "no GPU", "no GPU"] in rows
    assert ["graph_optimizer", "-", "defaults", "left as it is"] in rows
    assert ["hash_seed", "7", "random", "NOT IN EFFECT"] in rows
    assert ["Hardware", "EPYC 9, 2 of 8 cores; 16.0 GiB memory"] in rows
    assert ["GPU", "none"] in rows
    if options:
        assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [60, 120])
def test_fixes_are_whole_lines_and_the_most_serious_comes_first(width: int) -> None:
    lines = printed(READINGS, width).splitlines()
    first = lines.index("  start with: PYTHONHASHSEED=7 python ...")
    second = lines.index("  start with: TF_XLA_FLAGS=--tf_xla_auto_jit=-1 python ...")
    assert first < second
    end = " ".join(" ".join(lines[second:]).split())
    assert end.endswith(
        "Requested and NOT in effect: hash_seed. 1 of 4 switches pinned. "
        "To pin all of them before Python starts: keras-repro run SCRIPT"
    )


def test_all_pinned_switches_are_counted() -> None:
    lines = printed([Reading(s.name, True, True, True) for s in SWITCHES], 80).splitlines()
    assert lines[-1] == f"{len(SWITCHES)} of {len(SWITCHES)} switches pinned."


def test_pipe_gets_plain_text() -> None:
    pipe = io.StringIO()
    render_doctor(READINGS, {}, make_console(pipe))
    text = pipe.getvalue()
    assert "\x1b" not in text
    assert text.count("not recorded") == 6


def test_colour_on_a_terminal() -> None:
    text = printed(READINGS, 80, force_terminal=True, color_system="standard")
    assert "\x1b[1;31mNOT IN EFFECT" in text


def test_text_is_escaped() -> None:
    evil = "\x1b[31m[red]x[/red]\nnext"
    text = printed([Reading(evil, evil, {evil: evil}, False, evil)], 200)
    assert "\x1b" not in text
    assert "[red]x[/red]" in text
    assert "\nnext" not in text
