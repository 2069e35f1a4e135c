"""Keep the traceback of an error that is a mistake in keras_repro itself."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback

from keras_repro._version import __version__
from keras_repro.utils.text import one_line_error


def internal_error_message(error: Exception) -> str:
    """Return the message of an unexpected error, in one line; its traceback is kept in a temporary file."""
    try:
        descriptor, path = tempfile.mkstemp(prefix="keras-repro-error-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"keras_repro {__version__}, Python {sys.version}\n")
            traceback.print_exception(error, file=file)
        kept = f"the traceback is in {path}"
    except Exception:  # such as a full disk, or no memory
        kept = "its traceback could not be kept"
    return f"internal error: {one_line_error(error)}; {kept}"
