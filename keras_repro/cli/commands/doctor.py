"""`keras-repro doctor`: what is controlled on this machine."""

from __future__ import annotations

import argparse
import os

from keras_repro.cli.common import DIFFERENT, SAME, write_json


def command(options: argparse.Namespace) -> int:
    from keras_repro.determinism.portable_pins import machine_in_words
    from keras_repro.determinism.switches import probe_switches
    from keras_repro.provenance.environment import gather
    from keras_repro.report.console.doctor import render_doctor
    from keras_repro.report.console.terminal import make_console

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # the table is what was asked for
    readings, environment = probe_switches(), gather()
    console, portable = make_console(), machine_in_words()
    render_doctor(readings, environment, console)
    console.print(f"Portable runs, the same on another CPU: {portable}", markup=False, soft_wrap=True)
    found = [r.to_dict() for r in readings]
    data = {"format": 1, "switches": found, "environment": environment, "portable": portable}
    write_json(options, data)
    return DIFFERENT if any(r.ok is False for r in readings) else SAME
