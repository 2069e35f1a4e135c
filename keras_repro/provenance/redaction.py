"""Redact command lines, variables and paths for ledgers, which are published.

    >>> redact_arguments(["--epochs", "5", "--api-key=abc"])
    (['--epochs', '5', '--api-key=<hidden>'], 1)
    >>> redact_value("XLA_FLAGS", "--xla_dump_to=/home/ada")
    '--xla_dump_to=<hidden>'

By allow-list: a value that is not known to be harmless is hidden and marked, at times more than needed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

HIDDEN = "<hidden>"


def redact_arguments(arguments: Sequence[str]) -> tuple[list[str], int]:
    """Redact a script's arguments.

    Option names, numbers, `true`, `false`, `none`, short lower-case words and files below the working
    folder are kept; a value after an option that may hold a secret or a person's name never is.

    Returns:
        The arguments, with `"<hidden>"` in place of redacted ones, and how many those are.
    """
    shown: list[str] = []
    hidden = 0
    # After an option that may hold a secret, all is hidden up to the next option, at least one argument.
    secret = just_named = False
    for argument in map(str, arguments):
        name, equals, value = argument.partition("=")
        text = argument
        if _OPTION.fullmatch(name):
            secret = bool(_SECRET.search(name))
            if just_named:
                text = HIDDEN
            elif equals and (secret or not _is_public(value)):
                text = f"{name}={HIDDEN}"
            just_named = secret and not equals
            secret = just_named
        else:
            if secret or not (_is_public(argument) or argument == "--"):
                text = HIDDEN
            just_named = False
        hidden += text != argument
        shown.append(text)
    return shown, hidden


def redact_value(name: str, value: str) -> str:
    """Redact parts of a variable's value that look like a path or an identifier."""
    if name == "TZ":
        return value if _ZONE.fullmatch(value) else HIDDEN
    return " ".join(_public_setting(word) for word in value.split())


def redact_path(path: str | os.PathLike[str]) -> str:
    """Return a script's path from the working folder; only its name if it is elsewhere."""
    try:
        return str(Path(os.path.abspath(path)).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return Path(path).name


def public_file(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> str | None:
    """Return a file's path from a folder; None if it is not below it, or names a person."""
    try:
        text = Path(os.path.abspath(path)).relative_to(os.path.abspath(folder)).as_posix()
        return text if _PATH.fullmatch(text) and Path.home().name not in Path(text).parts else None
    except (ValueError, OSError, RuntimeError):
        return None


_OPTION = re.compile(r"-[A-Za-z]|(?=.{3,40}\Z)--[A-Za-z][A-Za-z0-9]*(?:[-_.][A-Za-z0-9]+)*")
_SECRET = re.compile(
    r"key|token|secret|pass|pwd|auth|cred|private|cert|session|cookie|bearer|signature|salt|jwt|"
    r"user|login|account|mail|host|server|url|uri|dsn|webhook|header|owner|person|patient",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[+-]?(?:\d{1,12}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][+-]?\d{1,3})?")
_WORD = re.compile(r"true|false|none|True|False|None|TRUE|FALSE|NONE|[a-z][a-z_-]{0,15}")
_PATH = re.compile(r"(?!.*(?:^|/)\.\.(?:/|$))[\w][\w.+@ -]*(?:/[\w.+@ -]+)*")
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,2}")
_SETTING = re.compile(r"(-{0,2}[A-Za-z][\w.-]{0,79}=)?([\w.,:+*(){}@-]{0,32})")


def _is_public(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text) or _WORD.fullmatch(text)) or _is_own_file(text)


def _is_own_file(text: str) -> bool:
    """Return whether the text names a file below the working folder, and no person by their home folder."""
    if not _PATH.fullmatch(text):
        return False
    try:
        return Path.home().name not in Path(text).parts and Path(text).exists()
    except (OSError, RuntimeError):  # RuntimeError: no home folder
        return False


def _public_setting(word: str) -> str:
    if _SETTING.fullmatch(word) or re.fullmatch(r"--[A-Za-z][\w-]{0,79}", word):
        return word
    name, equals, _ = word.partition("=")
    known = equals and re.fullmatch(r"-{0,2}[A-Za-z][\w.-]{0,79}", name)
    return f"{name}={HIDDEN}" if known else HIDDEN
