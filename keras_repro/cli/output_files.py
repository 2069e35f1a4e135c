"""The files that options such as `--json` and `--html` ask for.

A file is written next to its place and renamed at the end. It replaces nothing but a file that an earlier
command wrote (`earlier_output`): no script, ledger or other file, whatever the options are.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_repro.cli.earlier_output import json_text, marked, recognized
from keras_repro.errors import ReproError
from keras_repro.storage.atomic_files import PART, open_regular_file, open_to_write, sync
from keras_repro.storage.run_folder import DEFAULT_FOLDER, LEDGER_NAME
from keras_repro.utils.text import system_reason

_OPTIONS = ("json", "html", "png", "output")
_INPUTS = ("script", "arguments", "run", "a", "b", "noise")
_LARGEST = 1 << 28  # bytes of a file that is looked at


def check_output_files(options: argparse.Namespace) -> None:
    """Refuse files that cannot be written or may not be replaced, before hours of training.

    Raises:
        ReproError: one of them is refused.
    """
    options_of: dict[str, str] = {}
    for name in _OPTIONS:
        value = getattr(options, name, None)
        if value is None:
            continue
        _check(Path(value), options)
        other = options_of.setdefault(os.path.realpath(value), name)
        if other != name:
            raise ReproError(f"cannot write {value}: both --{other} and --{name} name it")
        with _reported(value), _temporary(Path(value)) as temporary:
            open_to_write(temporary).close()


def write_json(options: argparse.Namespace, data: dict[str, Any]) -> None:
    """Write the result to the file of `--json`, if it was given."""
    if options.json is not None:
        write_bytes(options, options.json, json_text(data).encode())


def write_text(options: argparse.Namespace, name: str, text: str) -> None:
    """Write a page to the file of an option; raise as `write_bytes` does."""
    write_bytes(options, name, marked(text).encode())


def write_bytes(options: argparse.Namespace, name: str, content: bytes) -> None:
    """Write the file of an option.

    Raises:
        ReproError: the file cannot be written or may not be replaced.
    """
    path = Path(name)
    with _reported(name), _temporary(path) as temporary:
        with open_to_write(temporary) as file:
            file.write(content)
        sync(temporary)
        _check(path, options)
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)


def _check(path: Path, options: argparse.Namespace) -> None:
    """Raise ReproError if a file may not be written."""
    real, inputs = os.path.realpath(path), _inputs(options)
    if path.is_dir() or path.name in ("", ".."):
        reason = "it is a folder. Give a file name"
    elif path.is_symlink():
        reason = "it is a link, which is not followed. Choose another name"
    elif any(os.path.exists(i) and os.path.realpath(i) == real for i in inputs):
        reason = "it is an input of this command. Choose another name"
    elif path.name == LEDGER_NAME:
        reason = "this is the name of ledgers. Choose another name"
    elif Path(os.path.realpath(getattr(options, "run_dir", None) or DEFAULT_FOLDER)).is_relative_to(real):
        reason = "it is the folder of the runs. Choose another name"
    elif not path.exists():
        return
    else:
        with open_regular_file(path, what="file", error=ReproError) as file:
            state = recognized(file.read(_LARGEST))
        if state == "intact" or (state == "edited" and getattr(options, "force", False)):
            return
        if state == "edited":
            reason = "it was edited since keras_repro wrote it. Choose another name, or add --force"
        else:
            reason = "it exists, and keras_repro did not write it. Choose another name, or remove it"
    raise ReproError(f"cannot write {path}: {reason}")


def _inputs(options: argparse.Namespace) -> Iterator[str]:
    for name in _INPUTS:
        value = getattr(options, name, None)
        for text in [value] if isinstance(value, str) else value or ():
            yield text
            yield text.partition("=")[2]


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Yield the path of a new file in the same folder, which is removed at the end if it is still there."""
    number = 0
    while os.path.lexists(temporary := path.with_name(f".keras_repro-{os.getpid()}-{number}{PART}")):
        number += 1
    try:
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _reported(name: str) -> Iterator[None]:
    """Report an OSError as one line that names the file of an option."""
    try:
        yield
    except OSError as error:
        raise ReproError(f"cannot write {name}: {system_reason(error)}") from None
