"""`keras-repro compare`: show where two recorded runs, or two fits of one, diverge."""

from __future__ import annotations

import argparse
import io
import shlex

from keras_repro.cli.exit_codes import comparison_exit_code
from keras_repro.cli.output_files import write_bytes, write_json, write_text
from keras_repro.comparison.compare import compare, compare_ledgers
from keras_repro.comparison.distances.layer_distances import distances
from keras_repro.comparison.result import Comparison
from keras_repro.errors import LedgerError
from keras_repro.ledger.fit_reader import open_fits
from keras_repro.report.charts.png import write_png
from keras_repro.report.console.comparison import print_comparison
from keras_repro.report.console.terminal import make_console
from keras_repro.report.html.compare_page import render_comparison


def command(options: argparse.Namespace) -> int:
    hint = ""
    if options.fits is not None:
        comparison = compare_ledgers(open_fits(options.a, options.fits), same_script=True)
    else:
        comparison = compare(options.a, options.b, noise=options.noise)
        diagnose = shlex.join(["keras-repro", "diagnose", options.a, options.b])
        hint = f"{diagnose} re-runs the script to find it"
    write_json(options, comparison.to_dict())
    if options.html is not None or options.png is not None:
        _draw(options, comparison)
    print_comparison(comparison, make_console(), how_to_explain=hint)
    return comparison_exit_code(comparison)


def _draw(options: argparse.Namespace, comparison: Comparison) -> None:
    """Write the page and the picture."""
    try:
        layer_distances = distances(*comparison.ledgers)
    except LedgerError:  # The ledgers are intact, so a sidecar file is not: draw without distances.
        layer_distances = None
    if options.html is not None:
        write_text(options, options.html, render_comparison(comparison, layer_distances))
    if options.png is not None:
        picture = io.BytesIO()
        write_png(picture, comparison, layer_distances)
        write_bytes(options, options.png, picture.getvalue())
