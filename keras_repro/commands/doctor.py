"""`keras-repro doctor`: what is controlled on this machine."""

from __future__ import annotations

import argparse
import os

from keras_repro.commands.common import DIFFERENT, SAME, write_json


def command(options: argparse.Namespace) -> int:
    from keras_repro.control.switches import probe_switches
    from keras_repro.present.console import make_console
    from keras_repro.present.doctor import render_doctor
    from keras_repro.record.environment import gather

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # the table is what was asked for
    readings, environment = probe_switches(), gather()
    render_doctor(readings, environment, make_console())
    found = [r.to_dict() for r in readings]
    write_json(options, {"format": 1, "switches": found, "environment": environment})
    return DIFFERENT if any(r.ok is False for r in readings) else SAME
