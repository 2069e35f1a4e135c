"""What every command must keep to, whatever is in the files that it reads."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import blake3
from markdown_it import MarkdownIt

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_ADDRESS = re.compile(r"(?i)\b(?:https?|ftp|mailto|xmpp):|\bwww\.|\w@\w|(?<!\w)@\w")
_OUR_HTML = re.compile(r"</?details>|</?summary>|<!-- -->")
_OUR_MARK = re.compile(r"\n?<!-- written by keras-repro, [0-9a-f]+ -->\n?\Z")


def problems_of_text(text: str, *, styled: bool) -> Iterator[str]:
    """Yield what is wrong with text on a terminal (`styled`: with colours) or in a pipe."""
    plain = _STYLE.sub("", text) if styled else text
    invisible = {c for c in plain if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    if invisible:
        yield f"control characters in the output: {sorted(map(ascii, invisible))}"


def problems_of_error(code: int, text: str) -> Iterator[str]:
    """Yield what is wrong with standard error: one line if and only if the command failed."""
    lines = text.splitlines()
    if code == 2 and not (len(lines) == 1 and lines[0].startswith("keras-repro: ")):
        yield f"not one line of an error: {text[-600:]!r}"
    if code != 2 and lines:
        yield f"text on standard error: {text[-600:]!r}"
    if "internal error" in text or "Traceback" in text:
        yield f"an internal error: {text[-600:]!r}"


def problems_of_page(text: str) -> Iterator[str]:
    """Yield tags, attributes and addresses of an HTML page that come from a file."""
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            names = [tag, *(name for name, _ in attributes)]
            found.extend(n for n in names if "krevil" in n or n.startswith("on"))
            found.extend(str(v) for n, v in attributes if n in ("href", "src", "style") and v != "data:,")
            if tag in ("a", "img", "iframe", "form", "base", "object"):
                found.append(tag)

        def handle_comment(self, data: str) -> None:
            found.append(f"a comment {data[:40]!r}")

    reader = Reader(convert_charrefs=True)
    text = _OUR_MARK.sub("", text)
    reader.feed(text)
    reader.close()
    if not text.isascii() or not text.rstrip().endswith("</html>"):
        found.append("the page is not whole, or not ASCII")
    if found:
        yield f"from a file in the page: {found[:5]}"


def problems_of_markdown(text: str) -> Iterator[str]:
    """Yield links, images and HTML in a Markdown page that come from a file."""
    text = _OUR_MARK.sub("", text)
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for token in _tokens(parser.parse(text)):
        if token.type in ("link_open", "image"):
            yield f"a link in the Markdown: {token.attrs}"
        if token.type.startswith("html") and _OUR_HTML.sub("", token.content).strip():
            content = token.content
            if not content.startswith(("<details>\n<summary>requirements.txt", "</details>")):
                yield f"HTML in the Markdown: {content[:200]!r}"
    # Some renderers make links of plain addresses, but not in code.
    without_code = re.sub(r"`[^`\n]*`", "", text)
    if address := _ADDRESS.search(without_code):
        yield f"an address in the Markdown: {without_code[max(0, address.start() - 20) :][:60]!r}"


def _tokens(tokens: list[Any]) -> Iterator[Any]:
    for token in tokens:
        yield token
        yield from _tokens(token.children or [])


def chain_of(ledger: Path) -> list[tuple[Any, ...]]:
    """Return position and sections of each record in a chain, as far as lines are whole and their checks fit.

    Written after docs/ledger.md, and using nothing of keras_repro.
    """
    chain = []
    for number, line in enumerate(ledger.read_bytes().split(b"\n")[:-1]):
        body, _, check = line.rpartition(b',"check":"')
        if check != blake3.blake3(body).hexdigest()[:16].encode() + b'"}':
            break
        try:
            data = json.loads(body + b"}")
        except (ValueError, RecursionError):
            break
        if not isinstance(data, dict) or data.get("n") != number:
            break
        if number and data.get("link"):
            position = [data.get(name) for name in ("kind", "fit", "epoch", "index")]
            chain.append((*map(str, position), json.dumps(data.get("sections", {}), sort_keys=True)))
    return chain
