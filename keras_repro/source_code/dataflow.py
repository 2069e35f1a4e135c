"""What each statement of the user's code reads and sets, and how values flow through its names.

The code is parsed, never run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from keras_repro.source_code.nondeterminism import DRAW, nondeterminism_level
from keras_repro.source_code.rewrite import is_set
from keras_repro.source_code.statements import DEFINITIONS, SourceFile, head_of, last_name
from keras_repro.utils.source_line import SourceLine


@dataclass
class SourceModel:
    """The user's files, with what each of their statements reads and sets.

    Attributes:
        files: their paths.
    """

    files: set[str]
    _parsed: dict[str, SourceFile] = field(default_factory=dict)
    _known_flows: list[_Flow] | None = None

    def nodes(self) -> Iterator[tuple[str, ast.AST]]:
        """Yield each syntax node of all files, with its file."""
        for file in sorted(self.files):
            for node in ast.walk(self._source(file).tree):
                yield file, node

    def text_at(self, file: str, line: int) -> str:
        """Return the text of the statement at a line, in one line."""
        return self._source(file).text_at(line)

    def read_by(self, file: str, line: int) -> set[str]:
        """Return the names that the statement at a line reads, with those of the functions it calls."""
        node = self._statement(file, line)
        if node is None:
            return set()
        parts = [node] if isinstance(node, ast.FunctionDef | ast.ClassDef) else head_of(node)
        # A name that it sets is not read.
        parts = [p for p in parts if not (isinstance(p, ast.Name) and isinstance(p.ctx, ast.Store))]
        return {name for part in parts for name in _loads(part)}

    def set_by(self, file: str, line: int) -> set[str]:
        """Return the names that the statement at a line sets."""
        node = self._statement(file, line)
        return set() if node is None else set(_stores(node))

    def are_comprehension_variables(self, file: str, line: int, names: set[str]) -> bool:
        """Return whether all names are variables of comprehensions in the statement at a line."""
        node = self._statement(file, line)
        inner = [] if node is None else [c for c in ast.walk(node) if isinstance(c, ast.comprehension)]
        return names <= {name for c in inner for name in _loads(c.target)}

    def assigned_by(self, file: str, line: int) -> set[str]:
        """Return the targets of the assignment at a line as text; `return` for a return statement."""
        node = self._statement(file, line)
        if isinstance(node, ast.Return):
            return {"return"}
        if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            return set()
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        listed = [e for t in targets for e in (t.elts if isinstance(t, ast.Tuple | ast.List) else [t])]
        return {ast.unparse(t) for t in listed}

    def closure(self, names: set[str]) -> set[str]:
        """Return the names with all that their values come from, through assignments and functions."""
        wanted = set(names)
        while True:
            grown = set(wanted)
            for flow in self._flows():
                if flow.stores & grown:
                    grown |= flow.loads
            if grown == wanted:
                return wanted
            wanted = grown

    def first_line(self, file: str, line: int) -> int:
        """Return the first line of the statement at a line."""
        node = self._statement(file, line)
        return line if node is None else node.lineno

    def lines_of(self, file: str, line: int) -> list[tuple[int, str]]:
        """Return number and text of each line of the simple statement at a line; none of a compound one."""
        source = self._source(file)
        node = source.statement_at(line)
        if node is None or hasattr(node, "body"):
            return []
        return [(n, source.lines[n - 1].strip()) for n in source.statement_lines(line)]

    def loops_around(self, file: str, line: int) -> list[int]:
        """Return the first lines of the loops around a line, innermost first."""
        loops = self._around(file, line, ast.For | ast.AsyncFor | ast.While)
        return sorted((loop.lineno for loop in loops if loop.lineno < line), reverse=True)

    def ends_loop(self, file: str, line: int) -> bool:
        """Return whether the `if` or `while` at a line decides that a loop or a training ends."""
        node = self._statement(file, line)
        if isinstance(node, ast.If):
            return re.search(r"\bstop_training\b|\bbreak\b", ast.unparse(node)) is not None
        return isinstance(node, ast.While)

    def is_in(self, file: str, line: int, wanted: set[str]) -> bool:
        """Return whether a line is in a function or class with one of the wanted names."""
        return any(node.name in wanted for node in self._around(file, line, DEFINITIONS))

    def is_in_coroutine(self, file: str, line: int) -> bool:
        """Return whether a line is in an `async def`."""
        return any(self._around(file, line, ast.AsyncFunctionDef))

    def drawing_coroutines(self) -> set[tuple[str, int]]:
        """Return file and line of each statement in a coroutine that draws from a generator."""
        return {
            (file, node.lineno)
            for file, coroutine in self.nodes()
            if isinstance(coroutine, ast.AsyncFunctionDef)
            for node in ast.walk(coroutine)
            if isinstance(node, ast.stmt)
            and node is not coroutine
            and nondeterminism_level(self.text_at(file, node.lineno)) == DRAW
        }

    def definitions_reaching(
        self,
        file: str,
        line: int,
        names: set[str],
        *,
        draws: bool,
        matches: Callable[[str], object],
        anywhere: bool = False,
    ) -> set[tuple[str, int]]:
        """Return file and first line of the statements that reach a line and whose text matches.

        Args:
            file: the line's file.
            line: its number.
            names: the names in it to follow.
            draws: whether to follow what the line draws from instead, into whole statements; else only the
                heads of definitions are inspected: decorators and defaults.
            matches: called with each statement's text.
            anywhere: whether whole statements are inspected also if `draws` is False.
        """
        node = self._statement(file, line)
        drawn = set() if node is None else set(_drawn_from(node))
        wanted = self.closure(drawn if draws else names)
        return {
            (f.file, f.line if f.in_head else self.first_line(f.file, f.line))
            for f in self._flows()
            if f.stores & wanted
            and (f.in_head or draws or anywhere)
            and matches(self.text_at(f.file, f.line))
        }

    def sets(self, *, of_objects: bool = False) -> set[str]:
        """Return the names that are assigned a set, of values or of objects, which cannot be sorted."""
        names = set()
        for _, node in self.nodes():
            if isinstance(node, ast.Assign) and is_set(node.value):
                element = node.value.elt if isinstance(node.value, ast.SetComp) else None
                if (isinstance(element, ast.Call) and last_name(element)[:1].isupper()) is of_objects:
                    names |= {ast.unparse(t) for t in node.targets}
        return names

    def uses_hashes(self) -> bool:
        """Return whether code iterates over sets or calls `hash`, so that the hash seed may matter."""
        return any(
            isinstance(node, ast.Set | ast.SetComp)
            or (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)  # not the `set` of an event
                and node.func.id in ("set", "frozenset", "hash")
            )
            or (
                isinstance(node, ast.BinOp)
                and isinstance(node.left, ast.Call)
                and last_name(node.left) == "keys"
            )
            for _, node in self.nodes()
        )

    def only_statement(self, wanted: str | Callable[[str], object]) -> SourceLine | None:
        """Return the statement whose text matches; None unless it is the only one.

        Args:
            wanted: a regular expression, or a function of the text.
        """
        matches = re.compile(wanted).search if isinstance(wanted, str) else wanted
        texts = {
            (file, node.lineno): text
            for file, node in self.nodes()
            if isinstance(node, ast.stmt) and matches(text := self.text_at(file, node.lineno))
        }
        if len(texts) != 1:
            return None
        (((file, line), code),) = texts.items()
        return SourceLine(file=file, line=line, code=code)

    def _flows(self) -> list[_Flow]:
        """Return the names that each statement, definition and call sets, with their origins."""
        if self._known_flows is None:
            nodes = list(self.nodes())
            definitions = [(f, n) for f, n in nodes if isinstance(n, DEFINITIONS)]
            parameters = {d.name: set(_parameters(d)) for _, d in definitions}
            heads = {id(n) for _, d in definitions for part in _head(d) for n in ast.walk(part)}
            flows = [_Flow(f, d.lineno, {d.name}, set(_loads(d))) for f, d in definitions]
            flows += [
                _Flow(file, value.lineno, {name}, set(_loads(value)), in_head=True)
                for file, definition in definitions
                for name, value in _defaults(definition)
            ]
            for file, node in nodes:
                if isinstance(node, ast.Call):
                    arguments = [*node.args, *node.keywords]
                    loads = {name for part in arguments for name in _loads(part)}
                    # What is called, and what is passed on to be called, as by `partial` or `pool.map`.
                    passed = [*node.args, *(k.value for k in node.keywords)]
                    named = [node, *(p for p in passed if not isinstance(p, ast.Call))]
                    stores = {p for n in named for p in parameters.get(last_name(n), ())}
                    flows.append(_Flow(file, node.lineno, stores, loads, in_head=id(node) in heads))
                elif isinstance(node, ast.stmt) and not isinstance(node, DEFINITIONS):
                    flows.append(_Flow(file, node.lineno, set(_stores(node)), set(_loads(node))))
            self._known_flows = [flow for flow in flows if flow.stores]
        return self._known_flows

    def _around(self, file: str, line: int, kinds: Any) -> Iterator[Any]:
        """Yield the nodes of some kinds whose lines include a line."""
        for node in ast.walk(self._source(file).tree):
            if isinstance(node, kinds) and node.lineno <= line <= (node.end_lineno or node.lineno):
                yield node

    def _statement(self, file: str, line: int) -> ast.stmt | None:
        return self._source(file).statement_at(line)

    def _source(self, file: str) -> SourceFile:
        if file not in self._parsed:
            self._parsed[file] = SourceFile(file)
        return self._parsed[file]


@dataclass(frozen=True)
class _Flow:
    """The names that a piece of code sets, and those that they come from."""

    file: str
    line: int
    stores: set[str]
    loads: set[str]
    in_head: bool = False  # whether it is the head of a definition


def _parameters(definition: Any) -> Iterator[str]:
    """Yield the parameters of a function, or of a class's `__init__`."""
    if isinstance(definition, ast.ClassDef):
        for node in definition.body:
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                yield from _parameters(node)
        return
    given = definition.args
    yield from (a.arg for a in [*given.posonlyargs, *given.args, *given.kwonlyargs] if a.arg != "self")


def _defaults(definition: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parameters of a function that have a default, with the default."""
    given = getattr(definition, "args", None)
    if given is not None:
        listed = [*given.posonlyargs, *given.args]
        yield from zip(
            (a.arg for a in listed[len(listed) - len(given.defaults) :]), given.defaults, strict=True
        )
        yield from (
            (a.arg, d) for a, d in zip(given.kwonlyargs, given.kw_defaults, strict=True) if d is not None
        )


def _head(definition: Any) -> Iterator[Any]:
    """Yield the decorators and defaults of a function or class: they run when it is defined."""
    yield from definition.decorator_list
    yield from (value for _, value in _defaults(definition))


def _drawn_from(node: ast.AST) -> Iterator[str]:
    """Yield the names of the generators that a statement draws from: `self.rng` of `self.rng.normal(...)`."""
    for child in ast.walk(node):
        if not isinstance(child, ast.Call) or not isinstance(child.func, ast.Attribute):
            continue
        if nondeterminism_level(f".{child.func.attr}(") == DRAW:
            yield from _loads(child.func.value)


def _stores(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a simple statement or the head of a loop sets or changes: `x`, `self.rng`."""
    if isinstance(node, ast.If | ast.While | ast.Try):
        return
    parts: list[ast.AST] = [node]
    if isinstance(node, ast.For):
        parts = [node.target]
    elif isinstance(node, ast.With):
        parts = [i.optional_vars for i in node.items if i.optional_vars is not None]
    for part in parts:
        for child in ast.walk(part):
            if isinstance(child, ast.Name | ast.Attribute | ast.Subscript) and isinstance(
                child.ctx, ast.Store
            ):
                inner: Any = child
                while isinstance(inner, ast.Subscript):
                    inner = inner.value
                yield from _loads(inner)
            elif isinstance(node, ast.Expr):
                yield from _changed_by(child)


def _changed_by(node: ast.AST) -> Iterator[str]:
    """Yield the names that a call may change: the object of a method, and what is shuffled in place."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return
    if isinstance(node.func.value, ast.Name):
        yield node.func.value.id
    if node.func.attr == "shuffle":
        yield from (a.id for a in node.args if isinstance(a, ast.Name))


def _loads(node: ast.AST) -> Iterator[str]:
    """Yield the names that a piece of code reads: `x`, `self.rng`, and what is called."""
    for child in ast.walk(node):
        if isinstance(child, ast.Name):
            yield child.id
        elif isinstance(child, ast.Attribute):
            yield child.attr
            if isinstance(child.value, ast.Name):
                yield f"{child.value.id}.{child.attr}"
