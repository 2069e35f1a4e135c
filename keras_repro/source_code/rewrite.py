"""A line of code written anew so that it repeats, by its syntax: seeds, sets, listings of files, hashes.

>>> rewritten("seed = int(time.time())", is_chance=lambda text: "time" in text)
'seed = 42'
>>> rewritten("index = {n: i for i, n in enumerate(set(names))}", is_chance=lambda text: False)
'index = {n: i for i, n in enumerate(sorted(set(names)))}'
>>> rewritten("x = [table[n] for n in names]", is_chance=lambda text: False, sets={"names"})
'x = [table[n] for n in sorted(names)]'
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator
from typing import Any

_Change = tuple[int, int, str]
_Asks = Callable[[str], bool]

_SEED = "42"

_SEEDING = {
    "set_random_seed",
    "set_seed",
    "seed",
    "default_rng",
    "RandomState",
    "Random",
    "SeedSequence",
    "SeedGenerator",
    "from_seed",
    "PCG64",
    "PCG64DXSM",
    "Philox",
    "SFC64",
    "MT19937",
}
_SEED_KEYWORDS = {"seed", "random_state", "random_seed"}

_LISTINGS = {"listdir", "glob", "iglob", "rglob", "iterdir", "scandir"}
_IN_ANY_ORDER = {"imap_unordered": "imap"}
_MAKES_SETS = {"set", "frozenset"}

# What goes through what it is given, and keeps the order in which it came.
_GOES_THROUGH = {
    "enumerate",
    "list",
    "tuple",
    "zip",
    "map",
    "iter",
    "fromkeys",
    "join",
    "filter",
    "deque",
    "chain",
}
# What does not care for the order.
_NO_ORDER = {"sorted", "set", "frozenset", "len", "sum", "min", "max", "any", "all", "Counter"}


def rewritten(code: str, *, is_chance: _Asks, sets: Collection[str] = ()) -> str | None:
    """The code with what makes it differ put right; None where nothing of that kind is in it.

    Args:
        code: a statement in one line, or the head of a compound one.
        is_chance: tells of a piece of code whether it names a source of chance.
        sets: names that hold sets.
    """
    tree = _parsed(code)
    if tree is None:
        return None
    data = code.encode()
    for find in (_seeds, _order, _hashes):
        changes = list(find(tree, code, is_chance, frozenset(sets)))
        if changes:
            for begin, end, text in sorted(changes, reverse=True):
                data = data[:begin] + text.encode() + data[end:]
            return data.decode()
    return None


def goes_by_chance(code: str) -> bool:
    """Whether a set or a listing of files in a statement may show its order; True where that is not known."""
    tree = _parsed(code)
    if tree is None:
        return True
    calm = _calm(tree)
    return any(
        id(node) not in calm
        and (is_set(node) or (isinstance(node, ast.Call) and _name_of(node) in _LISTINGS))
        for node in ast.walk(tree)
    )


def goes_through(code: str, sets: Collection[str]) -> bool:
    """Whether a statement takes the order of a set: goes through one of these names, or pops from it."""
    tree = _parsed(code)
    if tree is None:
        return False
    pops = any(
        isinstance(n, ast.Call)
        and isinstance(n.func, ast.Attribute)
        and n.func.attr == "pop"
        and not n.args
        and ast.unparse(n.func.value) in sets
        for n in ast.walk(tree)
    )
    return pops or any(_order(tree, code, lambda _: False, frozenset(sets)))


def _seeds(
    tree: ast.AST, code: str, is_chance: Callable[[str], bool], sets: frozenset[str]
) -> Iterator[_Change]:
    """A number in place of a seed that is another one each time."""
    for node in ast.walk(tree):
        found: list[ast.AST] = []
        if isinstance(node, ast.Call):
            named = _SEED_KEYWORDS | ({"default"} if _is_option_of_seed(node) else set())
            found += [k.value for k in node.keywords if k.arg in named]
            if _name_of(node) in _SEEDING:
                found += node.args[:1]
        elif isinstance(node, ast.Assign) and any(_name_of(t).lower().endswith("seed") for t in node.targets):
            found.append(node.value)
        for value in found:
            text = ast.get_source_segment(code, value) or ""
            none = isinstance(value, ast.Constant) and value.value is None
            if none or (is_chance(text) and not _makes_generator(value)):
                yield _span(value, _SEED)
                return
        if isinstance(node, ast.Call) and _lacks_seed(node):
            end = _span(node, "")[1]
            yield end - 1, end - 1, f"{', ' if node.args or node.keywords else ''}seed={_SEED}"
            return
        if isinstance(node, ast.Call) and _is_seed_call(node) and not node.args and not node.keywords:
            end = _span(node, "")[1]
            yield end - 1, end - 1, _SEED
            return


def _order(
    tree: ast.AST, code: str, is_chance: Callable[[str], bool], sets: frozenset[str]
) -> Iterator[_Change]:
    """`sorted(...)` around sets that are gone through, and around listings of files."""
    calm = _calm(tree)
    for node in ast.walk(tree):
        if id(node) in calm:
            continue
        for part in _gone_through(node):
            if id(part) not in calm and is_set(part, sets):
                if (
                    isinstance(node, ast.Call)
                    and _name_of(node) == "list"
                    and isinstance(node.func, ast.Name)
                ):
                    yield _span(node.func, "sorted")
                else:
                    yield from _around(part)
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in _LISTINGS:
            by_name = ", key=lambda entry: entry.name" if node.func.attr == "scandir" else ""
            yield from _around(node, by_name)
        elif node.func.attr in _IN_ANY_ORDER:
            end = _span(node.func, "")[1]
            yield end - len(node.func.attr), end, _IN_ANY_ORDER[node.func.attr]


def _calm(tree: ast.AST) -> set[int]:
    """The parts of code that stand where no order shows."""
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and _name_of(n) in _NO_ORDER]
    return {id(n) for call in calls for part in call.args for n in ast.walk(part)}


def _hashes(
    tree: ast.AST, code: str, is_chance: Callable[[str], bool], sets: frozenset[str]
) -> Iterator[_Change]:
    """A hash of text that is the same in each process."""
    for node in ast.walk(tree):
        named = isinstance(node, ast.Call) and ast.unparse(node.func) == "hash"
        if isinstance(node, ast.Call) and named and len(node.args) == 1:
            begin, end, _ = _span(node.args[0], "")
            yield _span(node.func, "zlib.crc32")
            yield begin, begin, "str("
            yield end, end, ").encode()"
            return


def _gone_through(node: ast.AST) -> Iterator[ast.AST]:
    """What a piece of code goes through, item by item, with its order showing."""
    if isinstance(node, ast.For):
        yield node.iter
    elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp):
        yield from (g.iter for g in node.generators)
    elif isinstance(node, ast.Call) and _name_of(node) in _GOES_THROUGH:
        yield from (a for a in node.args if not isinstance(a, ast.Starred))
    elif isinstance(node, ast.Starred):
        yield node.value


def is_set(node: ast.AST, sets: Collection[str] = ()) -> bool:
    """Whether an expression gives a set, as far as its text tells; `sets` are names that hold one.

    A name `x[]` says that `x` is a dict of sets.
    """
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _MAKES_SETS
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
        return is_set(node.left, sets) or is_set(node.right, sets)
    if isinstance(node, ast.Subscript):
        return f"{ast.unparse(node.value)}[]" in sets
    return isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in sets


def _is_seed_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _name_of(node) == "seed"


def _lacks_seed(call: ast.Call) -> bool:
    """Whether it makes a pipeline whose order or values go by a seed, and it is given none."""
    name = _name_of(call)
    of_folder = name.endswith(("_dataset_from_directory", "_dataset_from_array"))
    random = name == "random" and ast.unparse(call.func).endswith("Dataset.random")
    return (of_folder or (random and not call.args)) and all(
        k.arg not in ("seed", None) for k in call.keywords
    )


def _is_option_of_seed(call: ast.Call) -> bool:
    """Whether it is what `argparse` or the like is told of an option that holds a seed."""
    return any(
        isinstance(a, ast.Constant) and isinstance(a.value, str) and "seed" in a.value for a in call.args
    )


def _makes_generator(node: ast.AST) -> bool:
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call)]
    return any(_name_of(c) in _SEEDING - {"seed", "set_seed", "set_random_seed"} for c in calls)


def _name_of(node: Any) -> str:
    """The last name of what is called, set or read: `f` of `module.f(x)`."""
    inner = node.func if isinstance(node, ast.Call) else node
    return str(getattr(inner, "id", getattr(inner, "attr", "")))


def _around(node: ast.AST, more: str = "") -> Iterator[_Change]:
    begin, end, _ = _span(node, "")
    yield begin, begin, "sorted("
    yield end, end, f"{more})"


def _span(node: Any, text: str) -> _Change:
    return node.col_offset, node.end_col_offset, text


def _parsed(code: str) -> ast.AST | None:
    if "\n" in code:
        return None
    for text in (code, f"{code}\n    pass"):
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return None
