"""Run `keras-repro`: parse the command line, run the command, report errors in one line."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from keras_repro.cli.arguments import parse
from keras_repro.cli.exit_codes import ERROR, fail
from keras_repro.errors import ReproError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code.

    Args:
        argv: arguments without the program's name; default: those of the process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Schedulers stop a job with SIGTERM: end child processes and keep ledgers as for Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        options = parse(arguments)
        command = import_module(f"keras_repro.cli.commands.{options.command}")
        return int(command.command(options))
    except ReproError as error:
        return fail(error, getattr(error, "output", ""))
    except KeyboardInterrupt:
        return fail("interrupted: the child process has ended, its records are kept")
    except BrokenPipeError:
        # The reader has closed the pipe: keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except OSError as error:
        file = f"{error.filename}: " if error.filename else ""
        return fail(f"I/O error: {file}{error.strerror}")


def _interrupt(number: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt
