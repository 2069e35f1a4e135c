"""Pages of HTML in one file: no network, a strict content policy, and nobody else's markup.

>>> text = render_html("page.html.j2", title="<b>")
>>> "<title>&lt;b&gt;</title>" in text, text.isascii()
(True, True)

What a ledger says is text that anyone may have written: `finalize` makes control characters visible and cuts
what is too long, Jinja escapes it. Style and script are the only ones that the policy lets run, by their
SHA-256 (Content Security Policy Level 3, W3C).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from keras_repro.report.templating import templates
from keras_repro.utils.text import escape_control_chars

_LONGEST = 300


def render_html(template: str, **content: Any) -> str:
    """Renders a page of `templates/`.

    Args:
        template: the name of the file; it extends `page.html.j2`.
        content: what the template asks for; `title` always.

    Returns:
        ASCII text, so that no file or server can get its encoding wrong.

    Raises:
        ReproError: jinja2 is not installed.
    """
    environment = templates("an HTML page", escapes=True, finalize=shown, as_it_is=_as_it_is)
    parts = {n: environment.loader.get_source(environment, f"page.{n}")[0] for n in ("css", "js")}
    policy = (
        "default-src 'none'; img-src data:; "
        f"style-src '{_source_hash(parts['css'])}'; script-src '{_source_hash(parts['js'])}'; "
        "base-uri 'none'; form-action 'none'"
    )
    marked = {n: _as_it_is(text) for n, text in parts.items()}
    text = environment.get_template(template).render(
        content, policy=_as_it_is(policy), style=marked["css"], script=marked["js"]
    )
    return text.encode("ascii", "xmlcharrefreplace").decode()


def shown(value: Any) -> Any:
    """A value as it may stand in a page: control characters visible, and no longer than a few lines."""
    if isinstance(value, int | float) or value is None or hasattr(value, "__html__"):
        return value
    return cut(escape_control_chars(value), _LONGEST)


def cut(text: str, longest: int) -> str:
    """The text, or its beginning and a word on how much was left out."""
    if len(text) <= longest:
        return text
    more = len(text) - longest
    return f"{text[:longest]}... ({more:,} more character{'' if more == 1 else 's'})"


def shortened(text: str, longest: int) -> str:
    """The text, or its beginning and end: a layer's number mostly stands at the end."""
    if len(text) <= longest:
        return text
    tail = (longest - 3) // 2
    return f"{text[: longest - 3 - tail]}...{text[len(text) - tail :]}"


def in_page(value: Mapping[str, Any]) -> str:
    """A mapping as JSON that may stand as it is in a script element, which nothing executes."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&"})


def _as_it_is(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def _source_hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
