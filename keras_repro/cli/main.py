"""The command `keras-repro`: reads the command line and hands it to its command.

Exit codes: 0 the same or nothing found, 1 a difference or a finding, 2 misuse or unreadable input, with one
clear line on standard error.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from keras_repro.cli.arguments import parse
from keras_repro.cli.common import MISUSE, fail
from keras_repro.errors import ReproError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code.

    Args:
        argv: arguments without the program's name; those of the process by default.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # A scheduler's notice ends children and keeps ledgers as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        options = parse(arguments)
        command = import_module(f"keras_repro.cli.commands.{options.command}")
        return int(command.command(options))
    except ReproError as error:
        return fail(error, getattr(error, "output", ""))
    except KeyboardInterrupt:
        return fail("interrupted: the child has ended, what was recorded is kept")
    except BrokenPipeError:
        # Whoever reads has seen enough; Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return MISUSE
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return fail(f"cannot go on:{where}: {error.strerror}")


def _interrupted(number: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt
