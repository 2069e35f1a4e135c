"""The statements of a file, and the names in each: what to look at once it has run."""

from __future__ import annotations

import ast
from collections.abc import Iterator


class Statement:
    """One statement, or the head of a compound one: where it begins, and the names in it."""

    def __init__(self, node: ast.stmt, names: tuple[tuple[str, ...], ...]) -> None:
        self.line, self.names = node.lineno, names
        self.loops = isinstance(node, ast.For | ast.While)
        # What it brings forth is where it goes on.
        self.decides = isinstance(node, ast.If | ast.While)
        self.imports = isinstance(node, ast.Import | ast.ImportFrom)


def statements_of(file: str) -> dict[int, Statement]:
    try:
        with open(file, "rb") as opened:
            tree = ast.parse(opened.read())
    except (OSError, SyntaxError, ValueError):
        return {}
    found: dict[int, Statement] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt) or isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ):
            continue
        head = [c for c in ast.iter_child_nodes(node) if not isinstance(c, ast.stmt | ast.excepthandler)]
        # An import names no values: `ast.alias` holds no expression.
        names = tuple(dict.fromkeys(n for part in head for n in _names(part)))
        last = max([node.lineno, *(getattr(c, "end_lineno", None) or 0 for c in head)])
        statement = Statement(node, names)
        for line in range(node.lineno, last + 1):
            inner = found.get(line)
            # The innermost statement is the one that begins last.
            if inner is None or inner.line <= node.lineno:
                found[line] = statement
    return found


def _names(node: ast.AST) -> Iterator[tuple[str, ...]]:
    """Names and chains of attributes, such as `("self", "rng")`, in a piece of code."""
    if isinstance(node, ast.Lambda):
        return
    chain: list[str] = []
    inner = node
    while isinstance(inner, ast.Attribute):
        chain.append(inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name):
        # Each part of `self.rng.normal` may be what holds the value.
        parts = [inner.id, *reversed(chain)]
        for length in range(1, len(parts) + 1):
            yield tuple(parts[:length])
        return
    for child in ast.iter_child_nodes(node):
        yield from _names(child)
