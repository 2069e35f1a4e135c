"""How files are opened, as Python and h5py tell: by which path, and whether to write."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import wrapt

_WRITES = os.O_WRONLY | os.O_RDWR


def opens_for_writing(mode: Any, flags: Any) -> bool:
    """Whether an audit event `open` with this mode (None where the system was called) and flags writes."""
    return any(c in mode for c in "wax+") if isinstance(mode, str) else bool((flags or 0) & _WRITES)


def watch_h5py(module: Any, heard: Callable[[str, Any, bool], None]) -> None:
    """Also hears of what h5py opens, by C alone.

    Args:
        module: `h5py._hl.files`.
        heard: is given the path, the frame that opens it, and whether to write.
    """

    def opened(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        name = args[0] if args else kwargs.get("name")
        mode = args[1] if len(args) > 1 else kwargs.get("mode", "r")
        if isinstance(name, str | bytes | os.PathLike):
            heard(os.fsdecode(name), sys._getframe(1), mode not in (None, "r"))
        return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper(module.File, "__init__", opened)
