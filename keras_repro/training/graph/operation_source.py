"""Where in the source an operation of a graph was made."""

from __future__ import annotations

from typing import Any

from keras_repro.source_code.call_site import is_users_file


def source_of_operation(operation: Any) -> str:
    """Where an operation is made: the innermost line outside of TensorFlow and of us, as `file:line`."""
    frames = [f for f in operation.traceback if not _is_passed_over(f.filename)]
    users = [f for f in frames if is_users_file(f.filename)]
    # A line of the user's below Keras's `fit` says more than the one that calls it.
    fit = next((i for i, f in enumerate(frames) if "/keras/src/" in f.filename), None)
    below = [f for f in users if fit is not None and frames.index(f) > fit]
    chosen = below[-1] if below else frames[-1] if frames else None
    return "" if chosen is None else f"{_short(chosen.filename)}:{chosen.lineno}"


def _is_passed_over(file: str) -> bool:
    return "/tensorflow/" in file or "/keras_repro/" in file or file.startswith("<")


def _short(file: str) -> str:
    """A library's file from its package on; the user's by its name."""
    _, found, rest = file.rpartition("/site-packages/")
    return rest if found else file.rpartition("/")[2]
