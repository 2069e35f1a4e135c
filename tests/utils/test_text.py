"""Control characters in untrusted text, and the text of errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_repro.utils.text import escape_control_chars, one_line_error, system_reason


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcode 漢字", "plain, ünïcode 漢字"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("two\r\nlines\t", r"two\x0d\x0alines\x09"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egpj.exe\u2066", r"\u202egpj.exe\u2066"),
        ("a\xadb\u180e\ufffac\U000e0041", r"a\xadb\u180e\ufffac\ue0041"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert escape_control_chars(text) == shown


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("Unable to synchronously open file"), "Unable to synchronously open file"),
        (BlockingIOError(), "BlockingIOError"),
    ],
)
def test_each_error_of_the_system_has_a_reason(error: OSError, reason: str) -> None:
    assert system_reason(error) == reason


def test_error_without_a_message_is_its_type() -> None:
    assert one_line_error(MemoryError()) == "MemoryError"
    assert one_line_error(ValueError("two\nlines")) == "ValueError: two lines"


def test_no_message_uses_a_reason_that_may_be_missing() -> None:
    package = Path(__file__).parents[2] / "keras_repro"
    users = [p.name for p in package.rglob("*.py") if ".strerror" in p.read_text()]
    assert users == ["text.py"]
