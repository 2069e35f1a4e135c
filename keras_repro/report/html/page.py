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
from typing import Any

from keras_repro.report.templating import templates
from keras_repro.report.text import shown


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


def _as_it_is(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def _source_hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
