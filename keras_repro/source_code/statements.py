"""The statements of a Python file, by line. The file is parsed, never run.

file = SourceFile("train.py")
file.statement_at(12)           # the innermost statement that line 12 belongs to, as an ast.stmt
file.text_at(12)                # its text in one line
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

LONGEST_TEXT = 200
"""The number of characters after which the text of a statement is cut."""


class SourceFile:
    """A parsed file; without statements if it cannot be read or parsed.

    Attributes:
        lines: the text of each line.
        tree: the syntax tree.
    """

    def __init__(self, path: str) -> None:
        self.lines: list[str] = []
        self.tree = ast.Module(body=[], type_ignores=[])
        try:
            content = _content(path)
            self.lines = content.decode(errors="replace").splitlines()
            self.tree = ast.parse(content)
        except (OSError, SyntaxError, ValueError, KeyError, BadZipFile):
            pass

    def statement_at(self, line: int) -> ast.stmt | None:
        """Return the innermost statement that a line belongs to, None if there is none."""
        return self._statements.get(line)

    def statement_lines(self, line: int) -> range:
        """Return the line numbers of the statement at a line; of a compound one those of its head."""
        statement = self.statement_at(line)
        return range(0) if statement is None else head_lines(statement)

    def text_at(self, line: int) -> str:
        """Return the statement at a line in one line; of a compound one its head.

        Without a statement there, or at a decorator, it is the text of that line; empty past the file's end.
        """
        numbers = self.statement_lines(line)
        if line not in numbers:
            return self.lines[line - 1].strip() if 0 < line <= len(self.lines) else ""
        text = " ".join(self.lines[number - 1].strip() for number in numbers)
        return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "..."

    @functools.cached_property
    def _statements(self) -> dict[int, ast.stmt]:
        by_line: dict[int, ast.stmt] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.stmt):
                for line in range(node.lineno, _last_line(node) + 1):
                    if line not in by_line or by_line[line].lineno <= node.lineno:
                        by_line[line] = node
        return by_line


def statement_text(file: str, line: int) -> str:
    """Return `SourceFile.text_at` of a file that is read only for this."""
    return SourceFile(file).text_at(line)


@dataclass(frozen=True)
class Statement:
    """A statement that runs, or the head of a compound one, as the line tracer needs it.

    Attributes:
        line: its first line.
        names: the names in it, with chains of attributes such as `("self", "rng")`.
        loops: whether it is a loop.
        decides: whether its value is the branch that is taken.
        imports: whether it is an import.
    """

    line: int
    names: tuple[tuple[str, ...], ...]
    loops: bool
    decides: bool
    imports: bool


def statements_of(file: str) -> dict[int, Statement]:
    """Return the statement of each line of a file, without the lines of definitions."""
    source = SourceFile(file)
    by_line: dict[int, Statement] = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.stmt) and not isinstance(node, DEFINITIONS):
            head = head_of(node)
            statement = Statement(
                line=node.lineno,
                names=tuple(dict.fromkeys(n for part in head for n in _names(part))),
                loops=isinstance(node, ast.For | ast.While),
                decides=isinstance(node, ast.If | ast.While),
                imports=isinstance(node, ast.Import | ast.ImportFrom),
            )
            last = max([node.lineno, *(getattr(part, "end_lineno", None) or 0 for part in head)])
            lines = range(node.lineno, last + 1)
            by_line |= {line: statement for line in lines if source.statement_at(line) is node}
    return by_line


def head_of(statement: ast.stmt) -> list[ast.AST]:
    """Return the parts of a statement that are no statements of their own."""
    return [c for c in ast.iter_child_nodes(statement) if not isinstance(c, ast.stmt | ast.excepthandler)]


def head_lines(statement: ast.stmt) -> range:
    """Return the line numbers of a statement; of a compound one those of its head."""
    children = [_first_line(c) for c in ast.iter_child_nodes(statement) if isinstance(c, ast.stmt)]
    last = max(statement.lineno, min(children) - 1) if children else _last_line(statement)
    return range(statement.lineno, last + 1)


def last_name(node: ast.AST) -> str:
    """Return the last name of what is called, set or read: `f` of `module.f(x)`; empty if it has none."""
    inner = node.func if isinstance(node, ast.Call) else node
    return str(getattr(inner, "id", getattr(inner, "attr", "")))


def _content(path: str) -> bytes:
    """Return the bytes of a file, also of one in an archive."""
    archive = next((p for p in Path(path).parents if p.is_file()), None)
    if archive is None:
        return Path(path).read_bytes()
    with ZipFile(archive) as opened:
        return opened.read(Path(path).relative_to(archive).as_posix())


def _first_line(statement: ast.stmt) -> int:
    """Return the line at which a statement begins, with its decorators."""
    return min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", ()))])


def _last_line(statement: ast.stmt) -> int:
    return statement.end_lineno or statement.lineno


def _names(node: ast.AST) -> Iterator[tuple[str, ...]]:
    """Yield the names and chains of attributes in a piece of code."""
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
