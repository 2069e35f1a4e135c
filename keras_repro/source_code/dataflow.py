"""The text of the user's code: what each statement reads and sets, and how names flow through it.

It is parsed, never run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_repro.source_code.fixes import DRAW, nondeterminism_level
from keras_repro.source_code.rewrite import is_set
from keras_repro.source_code.statement import statement_at, statement_text


@dataclass
class SourceModel:
    """The text of some files, as what each statement reads and in which function it stands."""

    files: set[str]
    _trees: dict[str, Any] = field(default_factory=dict)
    _known: list[_Flow] | None = None

    def trees(self) -> list[Any]:
        """The parsed files."""
        return [self._tree(file) for file in sorted(self.files)]

    def read_by(self, file: str, line: int) -> set[str]:
        """Names that the statement at a line reads, and those of the functions that it calls."""
        node = self._statement(file, line)
        if node is None:
            return set()
        head = [c for c in ast.iter_child_nodes(node) if not isinstance(c, ast.stmt | ast.excepthandler)]
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            head = [node]
        return {name for part in head for name in _loads(part)}

    def set_by(self, file: str, line: int) -> set[str]:
        """Names that the statement at a line sets."""
        node = self._statement(file, line)
        return set() if node is None else set(_stores(node))

    def only_gone_through(self, file: str, line: int, names: set[str]) -> bool:
        """Whether names are variables of comprehensions in the statement at a line."""
        node = self._statement(file, line)
        inner = [] if node is None else [c for c in ast.walk(node) if isinstance(c, ast.comprehension)]
        return names <= {name for c in inner for name in _loads(c.target)}

    def assigned_by(self, file: str, line: int) -> set[str]:
        """Names that the assignment at a line gives values, with `return` for what a statement returns."""
        node = self._statement(file, line)
        if isinstance(node, ast.Return):
            return {"return"}
        targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
        if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            return set()
        listed = [e for t in targets for e in (t.elts if isinstance(t, ast.Tuple | ast.List) else [t])]
        return {ast.unparse(t) for t in listed}

    def closure(self, names: set[str]) -> set[str]:
        """The names, and all that they were made of: by assignments, and in functions and classes."""
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
        """The line at which the statement that a line belongs to begins."""
        node = self._statement(file, line)
        return line if node is None else int(node.lineno)

    def lines_of(self, file: str, line: int) -> list[tuple[int, str]]:
        """The lines of the simple statement at a line, by their numbers; none of a compound one."""
        node = self._statement(file, line)
        if node is None or hasattr(node, "body"):
            return []
        try:
            with open(file, encoding="utf-8", errors="replace") as opened:
                text = opened.read().splitlines()
        except OSError:
            return []
        return [(n, text[n - 1].strip()) for n in range(node.lineno, (node.end_lineno or node.lineno) + 1)]

    def loops_around(self, file: str, line: int) -> list[int]:
        """The first lines of the loops that a line stands in, the innermost first."""
        loops = [
            node.lineno
            for node in ast.walk(self._tree(file))
            if isinstance(node, ast.For | ast.AsyncFor | ast.While)
            and node.lineno < line <= (node.end_lineno or node.lineno)
        ]
        return sorted(loops, reverse=True)

    def is_in(self, file: str, line: int, wanted: set[str]) -> bool:
        """Whether a line stands in a function or class that is wanted by its name."""
        return any(
            node.name in wanted
            for node in ast.walk(self._tree(file))
            if isinstance(node, _DEFINITIONS) and node.lineno <= line <= (node.end_lineno or node.lineno)
        )

    def is_in_coroutine(self, file: str, line: int) -> bool:
        """Whether a line stands in an `async def`."""
        return any(
            isinstance(node, ast.AsyncFunctionDef) and node.lineno <= line <= (node.end_lineno or node.lineno)
            for node in ast.walk(self._tree(file))
        )

    def drawing_coroutines(self) -> set[tuple[str, int]]:
        """The statements in coroutines that draw from a generator, each by its file and line."""
        return {
            (file, node.lineno)
            for file in self.files
            for inside in ast.walk(self._tree(file))
            if isinstance(inside, ast.AsyncFunctionDef)
            for node in ast.walk(inside)
            if isinstance(node, ast.stmt)
            and node is not inside
            and nondeterminism_level(statement_text(file, node.lineno)) == DRAW
        }

    def made_by(
        self,
        file: str,
        line: int,
        names: set[str],
        *,
        draws: bool,
        tells: Callable[[str], object],
        anywhere: bool = False,
    ) -> set[tuple[str, int]]:
        """The statements that a line goes back to and whose text tells something.

        Args:
            file: the line's file.
            line: its number.
            names: the names in it to follow.
            draws: whether to follow what the line draws from in their place, and into whole statements;
                else only the heads of definitions are looked at: decorators and defaults.
            tells: is asked of each statement's text.
            anywhere: whether whole statements are looked at also where the names themselves are followed.

        Returns:
            Each by its file and first line.
        """
        node = self._statement(file, line)
        drawn = set() if node is None else set(_drawn_from(node))
        wanted = self.closure(drawn if draws else names)
        return {
            (f.file, f.line if f.in_head else self.first_line(f.file, f.line))
            for f in self._flows()
            if f.stores & wanted
            and (f.in_head or draws or anywhere)
            and tells(statement_text(f.file, f.line))
        }

    def sets(self, *, of_objects: bool = False) -> set[str]:
        """Names that are given a set in some statement; those of objects, which cannot be sorted."""
        found = set()
        for tree in self.trees():
            for node in ast.walk(tree):
                if isinstance(node, ast.Assign) and is_set(node.value):
                    element = node.value.elt if isinstance(node.value, ast.SetComp) else None
                    if (isinstance(element, ast.Call) and _called(element)[:1].isupper()) is of_objects:
                        found |= {ast.unparse(t) for t in node.targets}
        return found

    def _flows(self) -> list[_Flow]:
        """For each statement, definition and call: the names that it sets, and what it sets them from."""
        if self._known is None:
            nodes = [(file, node) for file in sorted(self.files) for node in ast.walk(self._tree(file))]
            definitions = [(f, n) for f, n in nodes if isinstance(n, _DEFINITIONS)]
            parameters = {d.name: set(_parameters(d)) for _, d in definitions}
            heads = {id(n) for _, d in definitions for part in _head(d) for n in ast.walk(part)}
            found = [_Flow(f, d.lineno, {d.name}, set(_loads(d))) for f, d in definitions]
            for file, one in definitions:
                found += [_Flow(file, v.lineno, {n}, set(_loads(v)), in_head=True) for n, v in _defaults(one)]
            for file, node in nodes:
                if isinstance(node, ast.Call):
                    given = {n for part in [*node.args, *node.keywords] for n in _loads(part)}
                    # What is called, and what is handed on to be called, as by `partial` or `pool.map`.
                    called = {
                        _called(node),
                        *map(_last_name, [*node.args, *(k.value for k in node.keywords)]),
                    }
                    takes = {p for name in called for p in parameters.get(name, ())}
                    found.append(_Flow(file, node.lineno, takes, given, in_head=id(node) in heads))
                elif isinstance(node, ast.stmt) and not isinstance(node, _DEFINITIONS):
                    found.append(_Flow(file, node.lineno, set(_stores(node)), set(_loads(node))))
            self._known = [flow for flow in found if flow.stores]
        return self._known

    def _statement(self, file: str, line: int) -> Any:
        return statement_at(self._tree(file), line)

    def _tree(self, file: str) -> Any:
        if file not in self._trees:
            try:
                with open(file, "rb") as opened:
                    self._trees[file] = ast.parse(opened.read())
            except (OSError, SyntaxError, ValueError):
                self._trees[file] = ast.Module(body=[], type_ignores=[])
        return self._trees[file]


@dataclass(frozen=True)
class _Flow:
    """Names that a piece of code sets, and those that it sets them from; `in_head` of a definition."""

    file: str
    line: int
    stores: set[str]
    loads: set[str]
    in_head: bool = False


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _parameters(definition: Any) -> Iterator[str]:
    """The parameters of a function, or those that a class is made with."""
    if isinstance(definition, ast.ClassDef):
        for node in definition.body:
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                yield from _parameters(node)
        return
    given = definition.args
    yield from (a.arg for a in [*given.posonlyargs, *given.args, *given.kwonlyargs] if a.arg != "self")


def _defaults(definition: Any) -> Iterator[tuple[str, Any]]:
    """The parameters of a function that have a default, with it."""
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
    """What runs where a function or class is defined, and no line of its own: decorators and defaults."""
    yield from definition.decorator_list
    yield from (value for _, value in _defaults(definition))


def _called(call: ast.Call) -> str:
    """The last name of what is called: `f` of `module.f(x)`."""
    return _last_name(call.func)


def _last_name(node: ast.AST) -> str:
    return str(getattr(node, "id", getattr(node, "attr", "")))


def _drawn_from(node: ast.AST) -> Iterator[str]:
    """The names of what a statement's methods draw from: `self.rng` of `self.rng.normal(...)`."""
    for child in ast.walk(node):
        if not isinstance(child, ast.Call) or not isinstance(child.func, ast.Attribute):
            continue
        if nondeterminism_level(f".{child.func.attr}(") == DRAW:
            yield from _loads(child.func.value)


def _stores(node: ast.stmt) -> Iterator[str]:
    """Names that a simple statement, or the head of a loop, sets or changes: `x`, `self.rng`."""
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
    """What a call may change: the object of a method, as in `items.append(x)`; what is shuffled in place."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return
    if isinstance(node.func.value, ast.Name):
        yield node.func.value.id
    if node.func.attr == "shuffle":
        yield from (a.id for a in node.args if isinstance(a, ast.Name))


def _loads(node: ast.AST) -> Iterator[str]:
    """Names that are read in a piece of code: `x`, `self.rng`, and what is called."""
    for child in ast.walk(node):
        if isinstance(child, ast.Name):
            yield child.id
        elif isinstance(child, ast.Attribute):
            yield child.attr
            if isinstance(child.value, ast.Name):
                yield f"{child.value.id}.{child.attr}"


def hashes(files: Iterable[str]) -> bool:
    """Whether code goes through sets or calls `hash`, so that the hash seed may decide what it does."""
    code = SourceModel(set(files))
    return any(
        isinstance(node, ast.Set | ast.SetComp)
        or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)  # not the `set` of an event
            and node.func.id in ("set", "frozenset", "hash")
        )
        or (isinstance(node, ast.BinOp) and isinstance(node.left, ast.Call) and _called(node.left) == "keys")
        for tree in code.trees()
        for node in ast.walk(tree)
    )


def the_one_statement(
    files: Iterable[str], wanted: str | Callable[[str], object]
) -> Mapping[str, Any] | None:
    """The statement whose text matches a pattern or passes a test, where there is just one in all files."""
    fits = re.compile(wanted).search if isinstance(wanted, str) else wanted
    found = {
        (file, node.lineno): statement_text(file, node.lineno)
        for file in files
        for tree in SourceModel({file}).trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and fits(statement_text(file, node.lineno))
    }
    if len(found) != 1:
        return None
    ((file, line), code), *_ = found.items()
    return {"file": file, "line": line, "code": code}
