"""How an object of a library that makes a generator without a seed can be given one.

The frames below a line of the user's code, and the object that holds the generator, tell it: by an argument
of the call that makes the object, by an argument that takes another object with a seed, or by a method.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import FrameType, FunctionType, ModuleType
from typing import Any

from keras_repro.source_code.call_site import frames_from, source_line
from keras_repro.source_code.dataflow import SourceModel
from keras_repro.source_code.ownership import is_users_class, is_users_file
from keras_repro.source_code.scope_values import MISSING, path_to, resolved, value_of
from keras_repro.source_code.statements import SourceFile, head_of, last_name, statements_of
from keras_repro.utils.source_line import SourceLine

_MAX_DEPTH = 6  # of objects in an object: wrappers of an environment are nested
_MAX_OBJECTS = 10_000

_SEED = re.compile(r"(?:\w+_)?(?:seed|rng|rstate|random_state)")
_TAKES_GENERATOR = "rstate"  # and no number
_SEEDING = ("seed_instance", "seed", "set_random_seed", "set_seed", "set_random_state", "reseed")
# A generator without a seed is to be made with one.
_GENERATORS = ("numpy", "random", "secrets", "tensorflow", "keras")


@dataclass(frozen=True, kw_only=True)
class SeedWay:
    """How a line, or the line that made an object, can give a seed.

    Attributes:
        call: the function or class that takes the argument; empty if there is none.
        argument: the argument, such as `seed=42` or `sampler=TPESampler(seed=42)`.
        seeding: a call that gives the object its seed, such as `env.reset(seed=42)`; empty if there is none.
        made: the line that made the object, if it was made earlier; else None.
    """

    call: str = ""
    argument: str = ""
    seeding: str = ""
    made: SourceLine | None = None


def seed_way(frame: FrameType) -> SeedWay:
    """Return how the generator that a frame makes without a seed can be given one."""
    inner: list[FrameType] = []  # of libraries, innermost first
    for caller in frames_from(frame):
        if is_users_file(caller.f_code.co_filename):
            return _Search(caller, inner).way()
        inner.append(caller)
    return SeedWay()


def shared_seed_way(frame: FrameType, line: int, package: str) -> SeedWay:
    """Return how the generator that a library has for all its objects can be given a seed.

    Args:
        frame: a frame of the user's code.
        line: the first line of a statement that drew from it.
        package: the library's top package.
    """
    statement = statements_of(frame.f_code.co_filename).get(line)
    names = () if statement is None else statement.names
    values = [(".".join(chain), value_of(chain, frame)) for chain in names]
    for name, value in values:
        of_module = value.__name__ if isinstance(value, ModuleType) else type(value).__module__
        if of_module.partition(".")[0] != package:
            continue
        if isinstance(value, ModuleType):
            method = next((m for m in _SEEDING if callable(vars(value).get(m))), "")
            seeding = method and f"{name}.{method}(42)"
        else:
            seeding = seeding_call(name, value, frame)
        if seeding:
            is_of_object = seeding.startswith(f"{name}.") and not isinstance(value, ModuleType)
            return SeedWay(seeding=seeding, made=_assignment(frame, name) if is_of_object else None)
    return SeedWay()


def seeding_call(name: str, value: Any, scope: FrameType) -> str:
    """Return a call that seeds an object of a library, or its class; empty if it has no method for that.

    Args:
        name: the name by which the user's code knows the object.
        value: the object.
        scope: a frame of the user's code, whose names the call may use.
    """
    kind = type(value)
    if kind.__module__.partition(".")[0] in _GENERATORS or is_users_class(kind):
        return ""
    methods = [(m, inspect.getattr_static(kind, m, None)) for m in _SEEDING]
    for method, found in methods:
        if isinstance(found, classmethod | staticmethod) and (path := path_to(kind, scope)):
            return f"{path}.{method}(42)"
    for method, found in methods:
        if isinstance(found, FunctionType) and found.__code__.co_argcount > 1:
            return f"{name}.{method}(42)"
    return ""


class _Search:
    """Search how to give a seed, below one line of the user's code.

    Args:
        user: the frame of the line.
        inner: the frames of libraries that it called, innermost first.
    """

    def __init__(self, user: FrameType, inner: Sequence[FrameType]) -> None:
        self._user, self._inner = user, inner
        owners = [(f, f.f_locals.get("self")) for f in inner]
        self._made = [o for f, o in owners if o is not None and f.f_code.co_name == "__init__"]
        self._used = [o for _, o in owners if o is not None and all(o is not made for made in self._made)]
        self._file = SourceFile(user.f_code.co_filename)
        self._calls = _calls_of(self._file.statement_at(user.f_lineno))

    def way(self) -> SeedWay:
        """Return the way, with empty fields if there is none."""
        kinds = list(dict.fromkeys(type(o) for o in reversed(self._made)))  # outermost first
        found = _seeded_call(self._calls, kinds, self._user, self._runs)
        if found is not None:
            return SeedWay(call=last_name(found[0]), argument=found[1])
        return self._way_of_object() if self._used else _way_of_kinds(kinds)

    def _runs(self, function: Any) -> bool:
        """Return whether a function, or the construction of a class, is one of the frames."""
        if isinstance(function, type):
            return any(isinstance(o, function) for o in self._made)
        code = getattr(inspect.unwrap(function), "__code__", None)
        return any(f.f_code is code for f in self._inner)

    def _way_of_object(self) -> SeedWay:
        """Return the way for an object that was made earlier, and makes its generator only now."""
        owner, receiver, method = self._method()
        scope, name, path = _holder(self._user, self._used[0])
        kinds = [type(value) for value in (*path, *reversed(self._used))]
        # A name of an object in between may be the one that was made: `study` of `trial = study.ask()`.
        between = [n for n, v in scope.f_locals.items() if any(v is inner for inner in path[1:])]
        lines = [line for n in (name, receiver, *between) if (line := _assignment(scope, n)) is not None]
        file = SourceFile(scope.f_code.co_filename)
        for line in lines:
            found = _seeded_call(_calls_of(file.statement_at(line.line)), kinds, scope, _is_anything)
            if found is not None:
                return SeedWay(call=last_name(found[0]), argument=found[1], made=line)
        found = _seeded_call(_calls_of(file.tree), kinds, scope, kinds.__contains__)
        if found is not None:
            line = source_line(scope.f_code.co_filename, found[0].lineno)
            return SeedWay(call=last_name(found[0]), argument=found[1], made=line)
        made = lines[0] if lines else None
        if method:
            known = name if path and path[0] is owner else receiver
            return SeedWay(seeding=f"{known}.{method}", made=made)
        seeding = seeding_call(name, path[0], scope) if path else ""
        return SeedWay(seeding=seeding, made=made) if seeding else replace(_way_of_kinds(kinds), made=made)

    def _method(self) -> tuple[Any, str, str]:
        """Return the object whose method the line calls, its name, and a call of it that gives a seed."""
        for call in self._calls:
            method = last_name(call)
            frames = [f for f in reversed(self._inner) if f.f_code.co_name == method and "self" in f.f_locals]
            receiver = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
            if frames and re.fullmatch(r"[\w.]+", receiver):
                owner = frames[0].f_locals["self"]
                seed = next((s for f in frames if (s := _seed_in(_parameters_of(f)))), "")
                seeding = (
                    f"{receiver}.{method}({seed})" if seed else seeding_call(receiver, owner, self._user)
                )
                is_own = seeding.startswith(f"{receiver}.")
                return owner, receiver, seeding.removeprefix(f"{receiver}.") if is_own else ""
        return None, "", ""


def _is_anything(function: Any) -> bool:
    return True


def _way_of_kinds(kinds: Sequence[type]) -> SeedWay:
    """Return the first class that takes a seed."""
    seeds = ((kind.__name__, _seed_in(_parameters(kind))) for kind in kinds)
    return next((SeedWay(call=name, argument=seed) for name, seed in seeds if seed), SeedWay())


def _seeded_call(
    calls: Sequence[ast.Call], kinds: Sequence[type], scope: FrameType, is_wanted: Callable[[Any], bool]
) -> tuple[ast.Call, str] | None:
    """Return the first call of a wanted function or class that can give a seed, with the argument for it.

    Args:
        calls: the calls, outer ones first.
        kinds: classes of the objects that lead to the generator, outermost first.
        scope: the frame that knows the names in the calls.
        is_wanted: called with the function or class of each call.
    """
    for call in calls:
        function = resolved(call.func, scope)
        if callable(function) and not _is_users(function) and is_wanted(function):
            parameters = _parameters(function)
            given = {str(k.arg) for k in call.keywords if ast.unparse(k.value) != "None"}
            free = [p for i, p in enumerate(parameters) if i >= len(call.args) and p not in given]
            argument = _seed_in(free) or _object_with_seed(function, free, kinds, scope)
            if argument and not (any(_SEED.fullmatch(name) for name in given)):
                return call, argument
    return None


def _seed_in(parameters: Sequence[str]) -> str:
    """Return an argument that gives a seed to the first parameter that takes one; empty if none does."""
    name = next((p for p in parameters if _SEED.fullmatch(p)), "")
    value = "np.random.default_rng(42)" if name.endswith(_TAKES_GENERATOR) else "42"
    return name and f"{name}={value}"


def _object_with_seed(
    function: Any, parameters: Sequence[str], kinds: Sequence[type], scope: FrameType
) -> str:
    """Return an argument that takes an object of one of the classes, made with a seed."""
    annotations = getattr(function, "__annotations__", {})
    for kind in kinds:
        seed = "" if is_users_class(kind) else _seed_in(_parameters(kind))
        names = [base.__name__ for base in kind.__mro__[:-1]]
        for parameter in parameters if seed else ():
            annotation = str(annotations.get(parameter, ""))
            named = any(n.lower().endswith(parameter.lower()) for n in names)
            if named or any(re.search(rf"\b{n}\b", annotation) for n in names):
                path = path_to(kind, scope)
                return path and f"{parameter}={path}({seed})"
    return ""


def _parameters(function: Any) -> list[str]:
    """Return the names of the parameters of a function or class, with those that it passes to its bases."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return []
    names = [n for n, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if isinstance(function, type) and any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for base in function.__mro__[1:-1]:
            names += _parameters(base)
    return list(dict.fromkeys(names))


def _parameters_of(frame: FrameType) -> tuple[str, ...]:
    code = frame.f_code
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _holder(user: FrameType, wanted: Any) -> tuple[FrameType, str, list[Any]]:
    """Return the outermost line's name for an object that leads to another one, with the objects between."""
    found: tuple[FrameType, str, list[Any]] = user, "", []
    for frame in frames_from(user):
        if not is_users_file(frame.f_code.co_filename):
            continue
        statement = statements_of(frame.f_code.co_filename).get(frame.f_lineno)
        for chain in () if statement is None else statement.names:
            value = value_of(chain, frame)
            path = None if value is MISSING or is_users_class(type(value)) else _path(value, wanted)
            if path is not None:
                found = frame, ".".join(chain), path
                break
    return found


def _path(value: Any, wanted: Any) -> list[Any] | None:
    """Return the objects from one to another through their attributes, None if it does not lead there."""
    paths, seen = [[value]], {id(value)}
    for path in paths:  # which grows
        if path[-1] is wanted:
            return path
        attributes = getattr(path[-1], "__dict__", None)
        is_code = isinstance(path[-1], type | ModuleType | FunctionType)
        if type(attributes) is dict and not is_code and len(path) <= _MAX_DEPTH and len(paths) < _MAX_OBJECTS:
            inner = [v for v in list(attributes.values()) if id(v) not in seen]
            seen.update(map(id, inner))
            paths += [[*path, v] for v in inner]
    return None


def _assignment(scope: FrameType, name: str) -> SourceLine | None:
    """Return the only statement that assigns an object, or the object that holds it; else None."""
    code = SourceModel({scope.f_code.co_filename})
    parts = name.split(".") if name else []
    for length in range(len(parts), 0, -1):
        own = ".".join(parts[:length])
        if own not in ("self", "cls"):
            made = code.only_statement(rf"^{re.escape(own)}\s*(:[^=]+)?=[^=]")
            if made is not None:
                return made
    return None


def _calls_of(node: ast.AST | None) -> list[ast.Call]:
    """Return the calls in a statement, or in the head of a compound one, outer ones first."""
    is_compound = isinstance(node, ast.stmt) and hasattr(node, "body")
    parts = [] if node is None else head_of(node) if isinstance(node, ast.stmt) and is_compound else [node]
    return [n for part in parts for n in ast.walk(part) if isinstance(n, ast.Call)]


def _is_users(function: Any) -> bool:
    if isinstance(function, type):
        return is_users_class(function)
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code is not None and is_users_file(code.co_filename)
