"""Redact command lines, variables and paths for ledgers, which are published.

    >>> redact_arguments(["--epochs", "5", "--api-key=abc"])
    (['--epochs', '5', '--api-key=<hidden>'], 1)
    >>> redact_value("XLA_FLAGS", "--xla_dump_to=/home/ada")
    '--xla_dump_to=<hidden>'

By allow-list: a value that is not known to be harmless is hidden and marked, at times more than needed. No
digest of it is published either: that of a short number reveals it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from keras_repro.provenance.harmless_options import takes_harmless_number, takes_harmless_word

HIDDEN = "<hidden>"


def redact_arguments(arguments: Sequence[str], *, publish: bool = False) -> tuple[list[str], int]:
    """Redact a script's arguments.

    Kept are option names; numbers and short words after an option that is known to be harmless, such as
    `--epochs` or `--optimizer`; `true`, `false` and `none`; and files below the working folder. Everything up
    to the next option is hidden after one that may hold a secret or a person's name.

    Args:
        arguments: as the script gets them.
        publish: whether to keep all of them as they are.

    Returns:
        The arguments, with `"<hidden>"` in place of redacted ones, and how many those are.
    """
    if publish:
        return list(map(str, arguments)), 0
    shown: list[str] = []
    option = ""  # whose value the next argument may be
    secret = False
    for argument in map(str, arguments):
        name, equals, value = argument.partition("=")
        # What follows a secret option may be its value, whatever it looks like.
        if _OPTION.fullmatch(name) and not (secret and option):
            secret, option = bool(_SECRET.search(name)), "" if equals else name
            hides = equals and (secret or not _is_public(value, name))
            shown.append(f"{name}={HIDDEN}" if hides else argument)
        else:
            hides = argument != "--" and (secret or not _is_public(argument, option))
            shown.append(HIDDEN if hides else argument)
            option = ""
    return shown, sum(text != argument for text, argument in zip(shown, map(str, arguments), strict=True))


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
_TRUTH = re.compile(r"true|false|none|True|False|None|TRUE|FALSE|NONE")
_WORD = re.compile(r"[a-z][a-z0-9_-]{0,15}")
_PATH = re.compile(r"(?!.*(?:^|/)\.\.(?:/|$))[\w][\w.+@ -]*(?:/[\w.+@ -]+)*")
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,2}")
_SETTING = re.compile(r"(-{0,2}[A-Za-z][\w.-]{0,79}=)?([\w.,:+*(){}@-]{0,32})")


def _is_public(value: str, option: str) -> bool:
    """Return whether a value, the one of an option unless that is empty, is known to be harmless."""
    number = _NUMBER.fullmatch(value) and takes_harmless_number(option)
    word = _WORD.fullmatch(value) and takes_harmless_word(option)
    return bool(number or word or _TRUTH.fullmatch(value)) or _is_own_file(value)


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
