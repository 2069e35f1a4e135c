r"""Text from a ledger as it may stand in Markdown: nobody else's markup, links or HTML in it.

>>> escaped("a|b <i>\n*c*")
'a\\|b &lt;i&gt;\\\\x0a\\*c\\*'
>>> code("kr1-smr-00ff"), code("a`b")
('`kr1-smr-00ff`', 'a\\`b')
"""

from __future__ import annotations

import re

from keras_repro.present.console import visible

_LONGEST = 500
_MARKUP = re.compile(r"([\\`*_\[\]|~#!$])")
_IN_WORD = re.compile(r"(?<=[A-Za-z0-9])\\_(?=[A-Za-z0-9])")
_LINK = re.compile(r"(?i)\b(https?|ftp)://|\bwww\.")
_PLAIN = re.compile(r"[A-Za-z0-9 ._/:=,+'\"()@%^-]+")


class Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


def escaped(value: object) -> Markdown:
    """Any value as plain text in Markdown, on one line, in a table or out of one."""
    if isinstance(value, Markdown):
        return value
    text = visible(value)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    text = _MARKUP.sub(r"\\\1", text)
    # Names such as val_loss stay readable: an underscore within a word marks nothing.
    text = _IN_WORD.sub("_", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Some renderers make a link of every address.
    return Markdown(_LINK.sub(lambda m: m[0].replace(":", "&#58;").replace(".", "&#46;"), text))


def code(value: object) -> Markdown:
    """A value as code where that is safe, else as plain text."""
    text = str(value)
    if len(text) <= _LONGEST and _PLAIN.fullmatch(text) and text.strip() == text:
        return Markdown(f"`{text}`")
    return escaped(text)
