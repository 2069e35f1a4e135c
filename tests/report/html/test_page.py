"""Self-contained pages: the policy matches their content, and text from ledgers stays text."""

from __future__ import annotations

import base64
import hashlib
import re

from keras_repro.report.html.page import render_html


def test_policy_allows_only_the_style_and_the_script() -> None:
    text = render_html("page.html.j2", title="x")
    [policy] = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', text)
    parts = dict(p.strip().split(" ", 1) for p in policy.split(";"))
    for name, tag in (("style-src", "style"), ("script-src", "script")):
        [inside] = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert (
            parts[name] == f"'sha256-{base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()}'"
        )
    assert parts["default-src"] == parts["base-uri"] == parts["form-action"] == "'none'"
    assert parts["img-src"] == "data:"
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_page_has_no_network_references() -> None:
    text = render_html("page.html.j2", title="x")
    assert not re.search(r"(?i)https?:|//[a-z]|@import|url\(|\bfetch\b|XMLHttp|WebSocket|eval\(", text)
    assert not re.search(
        r"(?i)\s(on[a-z]+|style)\s*=", re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.S)
    )


def test_text_is_escaped_and_shortened() -> None:
    text = render_html("page.html.j2", title="<i>&\"' \u202e\x07 " + "x" * 400 + "\u6f22")
    [title] = re.findall("<title>(.*?)</title>", text)
    assert title.startswith(r"&lt;i&gt;&amp;&#34;&#39; \u202e\x07 xxx")
    assert title.endswith("x... (119 more characters)")
    assert text.isascii()
    assert "&#28450;" in render_html("page.html.j2", title="\u6f22")
