"""Text for people: lists that are cut, errors in a line, untrusted text without control characters.

>>> escape_control_chars("loss\\x1b[2J")
'loss\\\\x1b[2J'
>>> first_few(["a", "b", "c", "d"], 2)
'a, b and 2 more'
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Control characters, those that turn or hide text, and halves of surrogate pairs, which terminals refuse.
_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f]"
)
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_LONGEST = 300


def first_few(items: Iterable[str], most: int) -> str:
    """Return the first items, separated by commas, and how many more there are."""
    listed = list(items)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def without_styles(text: str) -> str:
    """Return a text without the colours and styles of a terminal."""
    return _STYLE.sub("", text)


def system_reason(error: OSError) -> str:
    """Return why an operation failed; libraries and scripts raise errors without the system's reason.

    >>> system_reason(OSError(28, "No space left on device")), system_reason(OSError("truncated file"))
    ('No space left on device', 'truncated file')
    """
    return error.strerror or str(error) or type(error).__name__


def one_line_error(error: BaseException) -> str:
    """Return an error's type and message in one line, without a terminal's styles."""
    message = " ".join(without_styles(str(error)).split())
    shown = message if len(message) <= _LONGEST else message[: _LONGEST - 3] + "..."
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__


def error_line(message: object) -> str:
    """Return a message of the program in one line, as it is printed on standard error."""
    return f"keras-repro: {escape_control_chars(message)}"


def escape_control_chars(text: object) -> str:
    """Return the text in one line with control characters escaped. Idempotent."""
    return _CONTROL.sub(
        lambda m: f"\\x{ord(m[0]):02x}" if ord(m[0]) < 256 else f"\\u{ord(m[0]):04x}", str(text)
    )
