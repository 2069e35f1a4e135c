"""One line of the user's code, as a frozen value.

>>> line = SourceLine(file="train.py", line=3, code="x = draw()")
>>> line == SourceLine(file="train.py", line=3)
True
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from keras_repro.utils.json_record import JsonRecord


@dataclass(frozen=True, kw_only=True)
class SourceLine(JsonRecord):
    """One line of the user's code; lines are equal if file and number are.

    Attributes:
        file: path of its file.
        line: its number, from 1.
        code: its text, without the space around it.
        function: name of the function around it, empty if it is not known.
    """

    file: str
    line: int
    code: str = field(default="", compare=False)
    function: str = field(default="", compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, with `function` only if it is known."""
        named = {"function": self.function} if self.function else {}
        return {"file": self.file, "line": self.line, **named, "code": self.code}
