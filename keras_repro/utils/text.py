"""Text that others wrote, as it may reach a terminal.

>>> escape_control_chars("loss\\x1b[2J")
'loss\\\\x1b[2J'
"""

from __future__ import annotations

import re

# Control characters, those that turn or hide text, and halves of surrogate pairs, which no terminal takes.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_LONGEST = 300


def one_line_error(error: BaseException) -> str:
    """An error's type and what it says, in one line, without a terminal's styles."""
    said = " ".join(_STYLE.sub("", str(error)).split())
    return f"{type(error).__name__}: {said if len(said) <= _LONGEST else said[: _LONGEST - 3] + '...'}"


def escape_control_chars(text: object) -> str:
    """The text with control characters escaped, on one line; a second call changes nothing."""
    return _CONTROL.sub(
        lambda m: f"\\x{ord(m[0]):02x}" if ord(m[0]) < 256 else f"\\u{ord(m[0]):04x}", str(text)
    )
