"""Recognize a file that an earlier command wrote, by its content: only such a file is replaced.

>>> text = marked("# Results\\n")
>>> recognized(text.encode()), recognized(text.replace("Results", "My results").encode())
('intact', 'edited')
>>> recognized(b"# My results\\n"), recognized(b"import keras\\n"), recognized(b"")
('foreign', 'foreign', 'foreign')

Texts end with a comment that holds a digest, pictures name the program. JSON files are ours if they have the
first keys and the layout of a result.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Literal

State = Literal["intact", "edited", "foreign"]
"""As a command wrote it; changed since; or not written by a command."""

SOFTWARE = "keras_repro"  # the field of this name in a picture

_PNG = b"\x89PNG\r\n\x1a\n"
_SOFTWARE = f"tEXtSoftware\0{SOFTWARE}".encode()
_MARK = re.compile(rb"<!-- written by keras-repro, ([0-9a-f]{32}) -->\n")
_JSON = b'{\n  "format": 1,\n  "'
# The first keys of the results of `run`, of comparisons, `verify --vary`, `doctor` and `report`.
_FIRST_KEYS = (
    ("format", "ledger", "fingerprint"),
    ("format", "verdict", "runs"),
    ("format", "baseline", "repeat", "variations"),
    ("format", "switches", "environment"),
)


def marked(text: str) -> str:
    """Return a text with the comment at its end by which it is recognized."""
    text = text if text.endswith("\n") else f"{text}\n"
    return f"{text}<!-- written by keras-repro, {_digest(text.encode())} -->\n"


def json_text(data: object) -> str:
    """Return a result as JSON, in the layout by which it is recognized."""
    return json.dumps(data, indent=2, allow_nan=False) + "\n"


def recognized(content: bytes) -> State:
    """Return what the content of a file shows about its origin."""
    if content.startswith(_PNG):
        return "intact" if _SOFTWARE in content[:1024] else "foreign"
    if content.startswith(_JSON):
        return _recognized_json(content)
    match = _MARK.search(content)
    if match is None:
        return "foreign"
    is_intact = match.end() == len(content) and match[1].decode() == _digest(content[: match.start()])
    return "intact" if is_intact else "edited"


def _recognized_json(content: bytes) -> State:
    try:
        data = json.loads(content)
        if not any(tuple(data)[: len(keys)] == keys for keys in _FIRST_KEYS):
            return "foreign"
        return "intact" if json_text(data).encode() == content else "edited"
    except (ValueError, RecursionError):
        return "foreign"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
