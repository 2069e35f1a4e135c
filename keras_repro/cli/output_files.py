"""Write the files that options such as `--json` and `--html` ask for."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from keras_repro.errors import ReproError
from keras_repro.utils.text import system_reason


def check_output_file(name: str | None) -> None:
    """Refuse a file that cannot be written, before hours of training; remove an old one.

    Args:
        name: the file; None if none was asked for.
    """
    if name is None:
        return
    path = Path(name)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ReproError(f"cannot write {path}: give a file name in a writable folder")
    if path.is_file():
        path.unlink()


def write_json(options: argparse.Namespace, data: dict[str, Any]) -> None:
    """Write the result to the file of `--json`, if it was given."""
    if options.json is not None:
        write_text(options.json, json.dumps(data, indent=2, allow_nan=False) + "\n")


def write_text(path: str, text: str) -> None:
    """Write a file.

    Raises:
        ReproError: the file cannot be written.
    """
    try:
        Path(path).write_text(text)
    except OSError as error:
        raise ReproError(f"cannot write {path}: {system_reason(error)}") from None
