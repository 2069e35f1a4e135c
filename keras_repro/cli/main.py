"""Run `keras-repro`: parse the command line, run the command, report errors in one line."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from keras_repro.cli.arguments import parse
from keras_repro.cli.exit_codes import ERROR, fail
from keras_repro.cli.internal_error import internal_error_message
from keras_repro.cli.output_files import check_output_files
from keras_repro.errors import ReproError
from keras_repro.processes.interruption import INTERRUPTION
from keras_repro.utils.text import system_reason


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code.

    Args:
        argv: arguments without the program's name; default: those of the process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    INTERRUPTION.handle_signals()
    try:
        try:
            return _run(arguments)
        finally:
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()
    except OSError:  # the answer could not be printed
        _discard_output()
        return ERROR


def _run(arguments: list[str]) -> int:
    try:
        options = parse(arguments)
        check_output_files(options)
        command = import_module(f"keras_repro.cli.commands.{options.command}")
        return int(command.command(options))
    except ReproError as error:
        return fail(error, getattr(error, "output", ""))
    except KeyboardInterrupt:
        ended = ": the child process has ended, its records are kept"
        return fail(f"interrupted{ended if INTERRUPTION.started else ''}")
    except BrokenPipeError:
        raise
    except OSError as error:
        file = f"{error.filename}: " if error.filename else ""
        return fail(f"I/O error: {file}{system_reason(error)}")
    except Exception as error:
        return fail(internal_error_message(error))
    finally:
        INTERRUPTION.end_children()


def _discard_output() -> None:
    """Discard what is still to be printed and cannot be: Python would exit with 120."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            os.dup2(null, stream.fileno())
    os.close(null)
