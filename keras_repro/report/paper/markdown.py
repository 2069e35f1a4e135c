r"""Text from a ledger as it may stand in Markdown: nobody else's markup, links or HTML in it.

>>> escaped("a|b <i>\n*c*")
'a\\|b &lt;i&gt;\\\\x0a\\*c\\*'
>>> marked(("commit ", Code("00ff"), ", *dirty*")), marked(Code("a`b")), marked(None)
('commit `00ff`, \\*dirty\\*', 'a\\`b', 'not recorded')
"""

from __future__ import annotations

import re

from keras_repro.report.environment_text import NOT_RECORDED
from keras_repro.utils.text import escape_control_chars

_LONGEST = 500
_MARKUP = re.compile(r"([\\`*_\[\]|~#!$])")
_IN_WORD = re.compile(r"(?<=[A-Za-z0-9])\\_(?=[A-Za-z0-9])")
_LINK = re.compile(r"(?i)\b(https?|ftp)://|\bwww\.")
_PLAIN = re.compile(r"[A-Za-z0-9 ._/:=,+'\"()@%^-]+")


class Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


class Code(str):
    """Text that is to be shown as code, where that is safe."""

    __slots__ = ()


def marked(value: object) -> Markdown:
    """Any value as Markdown: a tuple part by part, None as "not recorded"."""
    if isinstance(value, Markdown):
        return value
    if isinstance(value, tuple):
        return Markdown("".join(marked(part) for part in value))
    if value is None:
        return escaped(NOT_RECORDED)
    return _code(value) if isinstance(value, Code) else escaped(value)


def escaped(value: object) -> Markdown:
    """Any value as plain text in Markdown, on one line, in a table or out of one."""
    text = escape_control_chars(value)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    text = _MARKUP.sub(r"\\\1", text)
    # Names such as val_loss stay readable: an underscore within a word marks nothing.
    text = _IN_WORD.sub("_", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Some renderers make a link of every address.
    return Markdown(_LINK.sub(lambda m: m[0].replace(":", "&#58;").replace(".", "&#46;"), text))


def _code(text: str) -> Markdown:
    """As code where that is safe, else as plain text."""
    if len(text) <= _LONGEST and _PLAIN.fullmatch(text) and text.strip() == text:
        return Markdown(f"`{text}`")
    return escaped(text)
