r"""Escape text from a ledger for Markdown: it cannot add markup, links or HTML.

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
_LINK = re.compile(r"(?i)\b(https?|ftp|mailto|xmpp):|\bwww\.")
_NAME = re.compile(r"@(?=\w)")
# Text that may stand between backquotes: without one, and without a space at either end.
_PLAIN = re.compile(r"(?! )[A-Za-z0-9 ._/:=,+'\"()@%^-]+(?<! )")


class Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


class Code(str):
    """Text to be shown as code if that is safe."""

    __slots__ = ()


def marked(value: object) -> Markdown:
    """Return any value as Markdown: a tuple part by part, None as "not recorded"."""
    if isinstance(value, Markdown):
        return value
    if isinstance(value, tuple):
        return Markdown("".join(marked(part) for part in value))
    if value is None:
        return escaped(NOT_RECORDED)
    if isinstance(value, Code) and len(value) <= _LONGEST and _PLAIN.fullmatch(value):
        return Markdown(f"`{value}`")
    return escaped(value)


def escaped(value: object) -> Markdown:
    """Return any value as plain text in Markdown, on one line, inside or outside a table."""
    text = escape_control_chars(value)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    text = _MARKUP.sub(r"\\\1", text)
    # An underscore within a word is no markup: names such as val_loss stay readable.
    text = _IN_WORD.sub("_", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Some renderers turn every address into a link, and names after "@" too, even if that is an entity.
    text = _LINK.sub(lambda m: m[0].replace(":", "&#58;").replace(".", "&#46;"), text)
    return Markdown(_NAME.sub("@<!-- -->", text))
