"""`keras-repro compare`: where two runs parted."""

from __future__ import annotations

import argparse

from keras_repro.commands.common import exit_code, write_json


def command(options: argparse.Namespace) -> int:
    from keras_repro.examine.compare import compare
    from keras_repro.present.console import make_console, print_comparison

    comparison = compare(options.a, options.b)
    write_json(options, comparison.to_dict())
    print_comparison(comparison, make_console())
    return exit_code(comparison)
