"""Shorten and escape text for pages, charts and tables.

>>> shorten_middle("a_long_name_of_layer_37", 15)
'a_long...yer_37'
>>> cut("abcd", 3)
'abc... (1 more character)'
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from keras_repro.utils.text import escape_control_chars

_LONGEST = 300


def shown(value: Any) -> Any:
    """Return a value as a page may show it: control characters escaped, at most a few lines long."""
    if isinstance(value, int | float) or value is None or hasattr(value, "__html__"):
        return value
    return cut(escape_control_chars(value), _LONGEST)


def cut(text: str, longest: int) -> str:
    """Return the text, or its beginning and the number of characters left out."""
    if len(text) <= longest:
        return text
    more = len(text) - longest
    return f"{text[:longest]}... ({counted(more, 'more character')})"


def shorten_middle(text: str, longest: int) -> str:
    """Return the text, or its beginning and end: the number of a layer is usually at the end."""
    if len(text) <= longest:
        return text
    tail = (longest - 3) // 2
    return f"{text[: longest - 3 - tail]}...{text[len(text) - tail :]}"


def cut_end(text: str, longest: int) -> str:
    """Return the text, or its beginning and `...`."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `"1 epoch"`, `"2,000 epochs"`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def short_number(value: float, digits: int = 3) -> str:
    """Return a number with a few digits, as people write it: `"0.0123"`, `"1.5e-7"`."""
    mantissa, e, exponent = f"{value:.{digits}g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa


def script_json(value: Mapping[str, Any]) -> str:
    """Return a mapping as JSON that is safe inside a script element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&"})
