"""The code of a function with calls of its hooks, compiled from its source.

    def apply(self, grads):            def apply(self, grads):
        if not grads:                      .call = [(self, grads)]
            return None                    DISPATCH.audit(EVENT, .call, HOOKS)
        self._update(grads)                self, grads = .call.pop()
                                           try:
                                               if not grads:
                                                   return (.result := None, DISPATCH.audit(
                                                       EVENT, .call, None, .result))[0]
                                               self._update(grads)
                                               DISPATCH.audit(EVENT, .call, None, None)
                                           except:
                                               DISPATCH.audit(EVENT, .call, None)
                                               raise

Lines, columns and names stay as they were: a traceback or a debugger shows the function and nothing else. No
name of the function's own contains a dot. What is in capitals is a constant of the code.
"""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import linecache
import types
from collections.abc import Iterator
from typing import Any

EVENT = "keras_repro.hook"
"""The first argument of each call that is inserted."""

_DISPATCH, _HOOKS = f"{EVENT}: dispatch", f"{EVENT}: hooks"  # replaced by the objects themselves
_CALL, _RESULT = ".call", ".result"
_OTHER_KINDS = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_SEES_LOCALS = {"locals", "vars", "dir", "eval", "exec"}


def hooked_code(function: types.FunctionType, *, dispatch: Any, hooks: Any) -> types.CodeType | None:
    """Return the code of a function with calls of its hooks, None if that cannot be made.

    Args:
        function: the function.
        dispatch: the object whose `audit` is called.
        hooks: passed to it at the start of each call of the function.
    """
    code = function.__code__
    if code.co_flags & _OTHER_KINDS or _SEES_LOCALS & set(code.co_names):
        return None
    try:
        tree = _parsed(tuple(linecache.getlines(code.co_filename, function.__globals__)))
    except SyntaxError:
        return None
    path = _path_to(tree, code)
    if not path or _compiled([tree, *path], code) != code:
        return None  # the function is not made from this source alone
    changed = copy.deepcopy(path[-1])
    _insert_calls(changed, parameters(code))
    made = _compiled([tree, *path], code, function=changed)
    constants = {_DISPATCH: dispatch, _HOOKS: hooks}
    return made.replace(
        co_consts=tuple(constants.get(c, c) if type(c) is str else c for c in made.co_consts),
        co_qualname=code.co_qualname,
    )


def parameters(code: types.CodeType) -> tuple[str, ...]:
    """Return the names of a code's parameters, those of `*args` and `**kwargs` last."""
    stars = bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + stars]


@functools.lru_cache(maxsize=2)
def _parsed(lines: tuple[str, ...]) -> ast.Module:
    return ast.parse("".join(lines))


def _path_to(node: ast.AST, code: types.CodeType) -> list[Any]:
    """Return the nodes from a module to the definition of a function; none if it is not there."""
    place = code.co_name, code.co_firstlineno
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.excepthandler):
            first = min(n.lineno for n in (child, *getattr(child, "decorator_list", ())))
            if isinstance(child, ast.FunctionDef) and (child.name, first) == place:
                return [child]
            if first <= code.co_firstlineno <= (child.end_lineno or first):
                path = _path_to(child, code)
                return path and [child, *path]
    return []


def _compiled(path: list[Any], code: types.CodeType, *, function: Any = None) -> Any:
    """Compile what leads to a function, and return its code.

    Args:
        path: the module, and the nodes on the way to the function.
        code: the code that the function has.
        function: what is compiled in its place; None for the function itself.
    """
    node = path[-1] if function is None else function
    for parent, child in zip(path[-2:0:-1], path[:1:-1], strict=True):
        parent_of_node = copy.copy(parent)
        for name, value in ast.iter_fields(parent):
            if isinstance(value, list) and child in value:
                # A function's other statements tell which names are free in the inner one.
                others = [] if isinstance(parent, ast.ClassDef) else value
                setattr(parent_of_node, name, [node if n is child else n for n in others or [child]])
        node = parent_of_node
    # The compiler treats methods of imported modules differently.
    module = ast.Module([*_imports(path[0]), node], [])
    compiled = compile(module, code.co_filename, "exec", dont_inherit=True)
    place = code.co_name, code.co_firstlineno
    return next((c for c in _codes(compiled) if (c.co_name, c.co_firstlineno) == place), None)


def _imports(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the imports of a module, those of the future first."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            yield from _imports(child)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes(constant)


def _insert_calls(node: ast.FunctionDef, names: tuple[str, ...]) -> None:
    start = 0 if ast.get_docstring(node, clean=False) is None else 1
    documentation, body = node.body[:start], node.body[start:]
    first = body[0] if body else node.body[0]
    last = _last_statement(node)
    values = ast.Tuple([ast.Name(name, ast.Load()) for name in names], ast.Load())
    targets = ast.Tuple([ast.Name(name, ast.Store()) for name in names], ast.Store())
    pop = ast.Call(ast.Attribute(_name(_CALL), "pop", ast.Load()), [], [])
    begin = [
        ast.Assign([ast.Name(_CALL, ast.Store())], ast.List([values], ast.Load())),
        ast.Expr(_dispatch(ast.Constant(_HOOKS))),
        ast.Assign([targets], pop),
    ]
    ended = (
        [] if isinstance(last, ast.Return | ast.Raise) else [_at(last, ast.Expr(_end(ast.Constant(None))))]
    )
    failed = [_at(node, ast.Expr(_dispatch(ast.Constant(None)))), _at(node, ast.Raise())]
    returning = _Returns()
    attempt = ast.Try(
        [*(returning.visit(statement) for statement in body), *ended],
        [_at(node, ast.ExceptHandler(body=failed))],
        [],
        [],
    )
    node.body = [*documentation, *(_at(first, statement) for statement in (*begin, attempt))]


class _Returns(ast.NodeTransformer):
    """Insert a call into each `return` of a function, not into those of functions inside of it."""

    def visit_Return(self, node: ast.Return) -> ast.Return:
        result = ast.NamedExpr(ast.Name(_RESULT, ast.Store()), node.value or ast.Constant(None))
        both = ast.Tuple([result, _end(_name(_RESULT))], ast.Load())
        value = _at(node, ast.Subscript(both, ast.Constant(0), ast.Load()))
        return ast.copy_location(ast.Return(value), node)

    def _leave(self, node: Any) -> Any:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = _leave


def _end(result: ast.expr) -> ast.Call:
    return _dispatch(ast.Constant(None), result)


def _dispatch(*arguments: ast.expr) -> ast.Call:
    function = ast.Attribute(ast.Constant(_DISPATCH), "audit", ast.Load())
    return ast.Call(function, [ast.Constant(EVENT), _name(_CALL), *arguments], [])


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _last_statement(node: Any) -> Any:
    """Return the last simple statement in a statement."""
    while isinstance(getattr(node, "body", None), list):
        node = node.body[-1]
    return node


def _at(place: ast.AST, node: Any) -> Any:
    """Return a new node at the line of another one."""
    ast.copy_location(node, place)
    node.end_lineno, node.end_col_offset = node.lineno, node.col_offset
    return ast.fix_missing_locations(node)
