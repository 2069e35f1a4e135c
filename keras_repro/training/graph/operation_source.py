"""The source line that makes an operation of a graph."""

from __future__ import annotations

from typing import Any

from keras_repro.source_code.call_site import source_line
from keras_repro.source_code.ownership import is_users_file, short_path
from keras_repro.training.backends.active import backend
from keras_repro.utils.source_line import SourceLine


def user_line_of(operation: Any) -> SourceLine | None:
    """Return the innermost line of the user's code that makes an operation, None if there is none."""
    for frame in reversed(operation.traceback or ()):
        if is_users_file(frame.filename):
            return source_line(frame.filename, frame.lineno, frame.name)
    return None


def source_of_operation(operation: Any) -> str:
    """Return the line that makes an operation, as `file:line`.

    That is the user's innermost line that Keras calls, else the innermost one outside of TensorFlow and
    keras_repro; empty if there is none.
    """
    frames = [f for f in operation.traceback if not _is_skipped(f.filename)]
    # A line of the user's below Keras's `fit` says more than the one that calls `fit`.
    fit = next((i for i, f in enumerate(frames) if _is_of_keras(f.filename)), len(frames))
    below = [f for f in frames[fit:] if is_users_file(f.filename)]
    chosen = (below or frames)[-1:]
    return "".join(f"{short_path(f.filename)}:{f.lineno}" for f in chosen)


def _is_of_keras(file: str) -> bool:
    return backend.graphs.KERAS_FOLDER in file and not is_users_file(file)


def _is_skipped(file: str) -> bool:
    skipped = backend.graphs.FRAMEWORK_FOLDER in file or "/keras_repro/" in file or file.startswith("<")
    return skipped and not is_users_file(file)
