"""Keep files of the user's from being imported in place of the modules that this package needs.

A `queue.py` in the working folder, next to the script or in PYTHONPATH comes before the standard library's.
This module imports nothing that such a file could replace, not even `__future__`.
"""

import os
import sys

_STANDARD = os.path.dirname(os.__file__)


def own_modules_first() -> list[str]:
    """Let Python search the standard library first, then this package's folder and other installed packages.

    Returns:
        `sys.path` as it was.
    """
    before, users = sys.path[:], folders_before_standard_library()
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    standard = [p for p in before if p == _STANDARD or os.path.basename(p) == "lib-dynload"]
    sys.path[:] = [*standard, package, *(p for p in before[len(users) :] if p not in standard), *users]
    return before


def folders_before_standard_library() -> list[str]:
    """Return the entries of `sys.path` whose modules replace those of the standard library."""
    return sys.path[: sys.path.index(_STANDARD)] if _STANDARD in sys.path else []
