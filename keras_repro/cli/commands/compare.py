"""`keras-repro compare`: where two runs parted."""

from __future__ import annotations

import argparse
from typing import Any

from keras_repro.cli.common import exit_code, write_json, write_text


def command(options: argparse.Namespace) -> int:
    from keras_repro.comparison.compare import compare
    from keras_repro.report.console.comparison import print_comparison
    from keras_repro.report.console.terminal import make_console

    comparison = compare(options.a, options.b, noise=options.noise)
    write_json(options, comparison.to_dict())
    _draw(options, comparison)
    print_comparison(comparison, make_console())
    return exit_code(comparison)


def _draw(options: argparse.Namespace, comparison: Any) -> None:
    """Writes the page and the picture that were asked for."""
    if options.html is None and options.png is None:
        return
    from keras_repro.comparison.distances.layer_distances import distances
    from keras_repro.errors import LedgerError

    try:
        found = distances(*comparison.ledgers)
    except LedgerError:  # the ledgers were read: it is what lies beside one, and no reason for no page
        found = None
    if options.html is not None:
        from keras_repro.report.html.compare_page import render_comparison

        write_text(options.html, render_comparison(comparison, found))
    if options.png is not None:
        from keras_repro.report.charts.png import write_png

        write_png(options.png, comparison, found)
