"""Where in the user's own code something happens.

line = user_call_site(sys._getframe())
line.file, line.line, line.code       # '/home/.../train.py', 12, 'model = build()'
"""

from __future__ import annotations

import linecache
import os
import sysconfig
from dataclasses import dataclass
from typing import Any

_LIBRARIES = tuple(
    {p + os.sep for n in ("stdlib", "platstdlib", "purelib", "platlib") if (p := sysconfig.get_path(n))}
)
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

_known: dict[str, bool] = {}


@dataclass(frozen=True)
class CallSite:
    """One line of the user's code.

    Attributes:
        file: its file, as Python knows it.
        line: its number, from 1.
        function: name of the function that it is in, `"<module>"` outside of one.
    """

    file: str
    line: int
    function: str = ""

    @property
    def code(self) -> str:
        """The text of the line, without the space around it."""
        return linecache.getline(self.file, self.line).strip()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: `file`, `line`, `function` and `code`."""
        return {"file": self.file, "line": self.line, "function": self.function, "code": self.code}


def is_users_file(file: str) -> bool:
    """Whether a file is the user's own code: no library, not ours, nothing made on the fly."""
    known = _known.get(file)
    if known is None:
        known = not (
            file.startswith(("<", _OURS, *_LIBRARIES)) or os.path.basename(file).startswith("__autograph")
        )
        _known[file] = known
    return known


def is_of_library(frame: Any) -> bool:
    """Whether a frame's module is known to be no code of the user's; False where only its code can tell.

    Asks for no code object: Python reports each such question to all audit hooks, which takes far longer.
    """
    file = frame.f_globals.get("__file__")
    return type(file) is str and _known.get(file) is False


def user_call_site(frame: Any, *, beyond: Any = None) -> CallSite | None:
    """The innermost line of the user's code that is running at or above a frame.

    Args:
        frame: where to start from.
        beyond: an object whose own `__init__` frames are passed over: where it was made, not how.
    """
    while frame is not None:
        code = frame.f_code
        if is_users_file(code.co_filename) and not _makes(frame, beyond):
            return CallSite(code.co_filename, frame.f_lineno, code.co_name)
        frame = frame.f_back
    return None


def _makes(frame: Any, made: Any) -> bool:
    """Whether a frame is the `__init__` of the object that is being made."""
    if made is None or frame.f_code.co_name not in ("__init__", "__new__"):
        return False
    return frame.f_locals.get("self") is made
