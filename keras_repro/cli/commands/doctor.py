"""`keras-repro doctor`: list the determinism switches on this machine."""

from __future__ import annotations

import argparse
import os

from keras_repro.cli.exit_codes import doctor_exit_code
from keras_repro.cli.output_files import write_json
from keras_repro.comparison.notes import SEED_WITHOUT_EFFECT
from keras_repro.determinism.portable_pins import machine_in_words
from keras_repro.determinism.switches import probe_switches
from keras_repro.determinism.tf_runtime import seed_reaches_order
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
    reaches = _seed_reaches_order()
    if reaches is False:
        print_line(console, f"Warning: {SEED_WITHOUT_EFFECT}.")
    data = {"format": 1, "switches": switches, "environment": environment, "portable": portable}
    data["seed_reaches_order"] = reaches
    write_json(options, data)
    return doctor_exit_code(readings)


def _seed_reaches_order() -> bool | None:
    """Return whether a seed reaches the order of arrays; None if Keras does not train here."""
    try:
        return seed_reaches_order()
    except Exception:
        return None
