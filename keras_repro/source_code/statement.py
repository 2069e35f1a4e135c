"""One statement of a file, by a line that belongs to it; it is parsed, never run."""

from __future__ import annotations

import ast
from typing import Any

_LONGEST = 200


def statement_text(file: str, line: int) -> str:
    """The statement at a line in one line, the head of a compound one; empty where there is no such file."""
    text, tree = "", None
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            text = opened.read()
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return _line_of(text, line)
    best = statement_at(tree, line)
    if best is None:
        return _line_of(text, line)
    last = best.end_lineno or best.lineno
    inner = [_begins(c) for c in ast.iter_child_nodes(best) if isinstance(c, ast.stmt)]
    if inner:
        last = max(best.lineno, min(inner) - 1)
        if line > last:
            return _line_of(text, line)  # a decorator
    joined = " ".join(part.strip() for part in text.splitlines()[best.lineno - 1 : last])
    return joined if len(joined) <= _LONGEST else joined[: _LONGEST - 3] + "..."


def statement_at(tree: Any, line: int) -> Any:
    """The innermost statement that a line belongs to."""
    best = None
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt) or not node.lineno <= line <= (node.end_lineno or node.lineno):
            continue
        if best is None or node.lineno >= best.lineno:
            best = node
    return best


def _begins(node: Any) -> int:
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])


def _line_of(text: str, line: int) -> str:
    lines = text.splitlines()
    return lines[line - 1].strip() if 0 < line <= len(lines) else ""
