"""`keras-repro doctor`: list the determinism switches on this machine."""

from __future__ import annotations

import argparse
import os

from keras_repro.cli.exit_codes import doctor_exit_code
from keras_repro.cli.output_files import write_json
from keras_repro.determinism.portable_pins import machine_in_words
from keras_repro.determinism.switches import probe_switches
from keras_repro.provenance.environment import gather
from keras_repro.report.console.doctor import render_doctor
from keras_repro.report.console.terminal import make_console, print_line


def command(options: argparse.Namespace) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # Keep TensorFlow's messages out of the table.
    readings, environment = probe_switches(), gather()
    console, portable = make_console(), machine_in_words()
    render_doctor(readings, environment, console)
    print_line(console, f"Portable runs (the same bits on another CPU): {portable}")
    switches = [r.to_dict() for r in readings]
    data = {"format": 1, "switches": switches, "environment": environment, "portable": portable}
    write_json(options, data)
    return doctor_exit_code(readings)
