"""Control characters in untrusted text."""

from __future__ import annotations

import pytest

from keras_repro.utils.text import escape_control_chars


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcode 漢字", "plain, ünïcode 漢字"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("two\r\nlines\t", r"two\x0d\x0alines\x09"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egpj.exe\u2066", r"\u202egpj.exe\u2066"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert escape_control_chars(text) == shown
