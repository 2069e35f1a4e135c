"""Decide the exit code of every command.

0: identical, or no finding. 1: a difference, or a finding. 2: a usage error, unreadable input, an answer that
could not be written because standard output was closed, or an internal error.
In addition, `run --resume` exits with 128 plus the number of the signal that interrupted the script.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_repro.comparison.result import Comparison
    from keras_repro.determinism.switch_table import Reading
    from keras_repro.workflows.vary.results import Variations

OK, DIFFERENT, ERROR = 0, 1, 2


def fail(message: object, output: str = "") -> int:
    """Print one line on standard error; return the exit code of an error."""
    from keras_repro.report.console.terminal import print_error

    with contextlib.suppress(AttributeError, OSError):  # it may be closed
        sys.stdout.flush()
    print_error(message, output)
    return ERROR


def comparison_exit_code(comparison: Comparison) -> int:
    """Return the exit code of `compare`, `diagnose`, `verify` and `reproduce`."""
    if comparison.verdict == "incomparable":
        return fail(f"incomparable: {comparison.reason}")
    return OK if comparison.verdict == "identical" else DIFFERENT


def variations_exit_code(result: Variations) -> int:
    """Return the exit code of `verify --vary`."""
    if result.repeat.verdict == "differs" or result.with_verdict("differs", "could not run"):
        return DIFFERENT
    if not result.with_verdict("repeats"):
        return fail("none of the variations could be tried here")
    return OK


def doctor_exit_code(readings: Sequence[Reading]) -> int:
    """Return the exit code of `doctor`."""
    return DIFFERENT if any(r.ok is False for r in readings) else OK


def interrupting_signal(code: int) -> int:
    """Return the signal that ended a script, from its exit code; 0 if none did."""
    return -code if code < 0 else signal.SIGINT if code == 128 + signal.SIGINT else 0
