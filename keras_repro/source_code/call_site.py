"""Find the line of the user's code that made a call. The one place that walks over frames.

site = user_call_site(sys._getframe())
site.file, site.line, site.code       # '/home/.../train.py', 12, 'model = build()'
"""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from types import FrameType
from typing import Any

from keras_repro.source_code.ownership import is_users_file
from keras_repro.source_code.statements import SourceFile
from keras_repro.utils.source_line import SourceLine


def source_line(file: str, line: int, function: str = "") -> SourceLine:
    """Return a line of a file with its text."""
    code = linecache.getline(file, line).strip() or "".join(SourceFile(file).lines[line - 1 : line]).strip()
    return SourceLine(file=file, line=line, code=code, function=function)


def frames_from(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield a frame and its callers, innermost first."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def user_frame(frame: FrameType | None, *, beyond: Any = None) -> FrameType | None:
    """Return the innermost frame of the user's code at or above a frame, None if there is none.

    Args:
        frame: the frame to start from.
        beyond: an object whose own `__init__` frames are skipped, to find where it was created.
    """
    while frame is not None:  # no generator: called for each function that the user's code enters
        if is_users_file(frame.f_code.co_filename) and not (
            beyond is not None and is_constructing(frame, beyond)
        ):
            return frame
        frame = frame.f_back
    return None


def user_call_site(frame: FrameType | None, *, beyond: Any = None) -> SourceLine | None:
    """Return the line that `user_frame` is at, None if there is none."""
    caller = user_frame(frame, beyond=beyond)
    return None if caller is None else site_of_frame(caller)


def site_of_frame(frame: FrameType) -> SourceLine:
    """Return the line that a frame is at."""
    return source_line(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def calling_object(frame: FrameType | None, types: Any) -> Any:
    """Return the innermost object of some types in whose method a frame is, None if there is none."""
    owners = (f.f_locals.get("self") for f in frames_from(frame))
    return next((owner for owner in owners if isinstance(owner, types)), None)


def is_constructing(frame: FrameType, instance: Any) -> bool:
    """Return whether a frame is the `__init__` of an object."""
    return frame.f_code.co_name in ("__init__", "__new__") and frame.f_locals.get("self") is instance
