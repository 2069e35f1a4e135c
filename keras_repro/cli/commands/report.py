"""`keras-repro report`: write the "Reproducibility Information" section of a paper."""

from __future__ import annotations

import argparse
from pathlib import Path

from keras_repro.cli.exit_codes import OK
from keras_repro.cli.output_files import write_json, write_text
from keras_repro.report.console.terminal import print_document
from keras_repro.report.paper.report import render_report, report_data


def command(options: argparse.Namespace) -> int:
    runs = [Path(r) for r in options.run]
    text = render_report(runs)
    write_json(options, report_data(runs))
    if options.output is None:
        print_document(text)
    else:
        write_text(options, options.output, text)
    return OK
