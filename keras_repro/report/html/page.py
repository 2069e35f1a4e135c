"""Render self-contained HTML pages with a strict content security policy.

>>> text = render_html("page.html.j2", title="<b>")
>>> "<title>&lt;b&gt;</title>" in text, text.isascii()
(True, True)

Ledgers may come from an untrusted source: `finalize` escapes control characters and shortens texts, Jinja
escapes them for HTML. The policy allows only the page's own style and script, by their SHA-256 (Content
Security Policy Level 3, W3C).
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from keras_repro.report.templating import template_environment
from keras_repro.report.text import shown


def render_html(template: str, **content: Any) -> str:
    """Render a page of `templates/`.

    Args:
        template: the name of the file; it extends `page.html.j2`.
        content: the variables of the template, `title` among them.

    Returns:
        ASCII text, so that no file or server can get its encoding wrong.

    Raises:
        ReproError: jinja2 is not installed.
    """
    environment = template_environment("an HTML page", autoescape=True, finalize=shown)
    style, script = (environment.loader.get_source(environment, f"page.{n}")[0] for n in ("css", "js"))
    policy = (
        "default-src 'none'; img-src data:; "
        f"style-src '{_source_hash(style)}'; script-src '{_source_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    page = environment.get_template(template).render(content, policy=policy, style=style, script=script)
    return page.encode("ascii", "xmlcharrefreplace").decode()


def _source_hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
