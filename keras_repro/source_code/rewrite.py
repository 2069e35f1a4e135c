"""Rewrite a line of code so that it is reproducible, by its syntax: seeds, sets, file listings, hashes.

>>> rewritten("seed = int(time.time())", is_nondeterministic=lambda text: "time" in text)
'seed = 42'
>>> rewritten("index = {n: i for i, n in enumerate(set(names))}", is_nondeterministic=lambda text: False)
'index = {n: i for i, n in enumerate(sorted(set(names)))}'
>>> rewritten("x = [table[n] for n in names]", is_nondeterministic=lambda text: False, sets={"names"})
'x = [table[n] for n in sorted(names)]'
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

from keras_repro.source_code.nondeterminism import GENERATOR_NAMES
from keras_repro.source_code.statements import last_name

_Change = tuple[int, int, str]  # bytes from and to, and the new text

_SEED = "42"

_SEEDS_GLOBALLY = {"set_random_seed", "set_seed", "seed"}
_SEEDING = {*_SEEDS_GLOBALLY, *GENERATOR_NAMES, "SeedGenerator", "from_seed"}
_SEED_KEYWORDS = {"seed", "random_state", "random_seed"}

_LISTINGS = {"listdir", "glob", "iglob", "rglob", "iterdir", "scandir"}
_IN_ANY_ORDER = {"imap_unordered": "imap"}
# Operations that no seed of the process reaches.
_SEEDS_ITS_KERNEL = {"fractional_max_pool", "fractional_avg_pool", "sample_distorted_bounding_box"}
_RAW_RANDOM = re.compile(r"Random[A-Z]|Fractional|Multinomial|TruncatedNormal|ParameterizedTruncatedNormal")

_CLOCKS = {
    "time",
    "time_ns",
    "perf_counter",
    "perf_counter_ns",
    "monotonic",
    "monotonic_ns",
    "timestamp",
}

_MAKES_SETS = {"set", "frozenset"}

# Calls that iterate over an argument and keep its order.
_ITERATES = {
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
# Calls whose result does not depend on the order of an argument.
_ORDER_INSENSITIVE = {"sorted", "set", "frozenset", "len", "sum", "min", "max", "any", "all", "Counter"}


def rewritten(
    code: str, *, is_nondeterministic: Callable[[str], bool], sets: Collection[str] = ()
) -> str | None:
    """Return the code without its nondeterminism; None if no rewriting applies.

    Args:
        code: a statement in one line, or the head of a compound one.
        is_nondeterministic: whether a piece of code names a source of nondeterminism.
        sets: names that hold sets.
    """
    tree = _parsed(code)
    if tree is None:
        return None
    seeded = _seed_changes(tree, code, is_nondeterministic)
    ordered = [*_order_changes(tree, sets), *_submission_changes(tree, sets)]
    for changes in (seeded, ordered, _hash_changes(tree), _clock_changes(tree)):
        data = code.encode()
        for begin, end, text in sorted(changes, reverse=True):
            data = data[:begin] + text.encode() + data[end:]
        if data != code.encode():
            return data.decode()
    return None


def may_show_order(code: str) -> bool:
    """Return whether the order of a set or a file listing may reach a value; True if that is unknown."""
    tree = _parsed(code)
    if tree is None:
        return True
    ignored = _order_insensitive(tree)
    return any(
        id(node) not in ignored
        and (is_set(node) or (isinstance(node, ast.Call) and last_name(node) in _LISTINGS))
        for node in ast.walk(tree)
    )


def iterates_over(code: str, sets: Collection[str]) -> bool:
    """Return whether a statement iterates over one of the sets or pops from it."""
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
    return pops or any(_order_changes(tree, sets))


def _seed_changes(tree: ast.AST, code: str, is_nondeterministic: Callable[[str], bool]) -> Iterator[_Change]:
    """Yield a number in place of the first seed that differs each time, or that is missing."""
    for node in ast.walk(tree):
        seeds: list[ast.AST] = []
        if isinstance(node, ast.Call):
            keywords = _SEED_KEYWORDS | ({"default"} if _defines_seed_option(node) else set())
            seeds += [k.value for k in node.keywords if k.arg in keywords]
            if last_name(node) in _SEEDING:
                seeds += node.args[:1]
        elif isinstance(node, ast.Assign) and any(
            last_name(t).lower().endswith("seed") for t in node.targets
        ):
            seeds.append(node.value)
        for value in seeds:
            text = ast.get_source_segment(code, value) or ""
            is_none = isinstance(value, ast.Constant) and value.value is None
            if is_none or (is_nondeterministic(text) and not _creates_generator(value)):
                yield _span(value, _SEED)
                return
        if isinstance(node, ast.Call):
            given = bool(node.args or node.keywords)
            before_bracket = _span(node, "")[1] - 1
            if _lacks_seed(node):
                ends_in_comma = code.encode()[:before_bracket].rstrip().endswith(b",")
                comma = " " if ends_in_comma else ", "
                yield before_bracket, before_bracket, f"{comma if given else ''}seed={_SEED}"
                return
            if last_name(node) == "seed" and not given:
                yield before_bracket, before_bracket, _SEED
                return


def _order_changes(tree: ast.AST, sets: Collection[str]) -> Iterator[_Change]:
    """Yield `sorted(...)` around sets that are iterated over, and around file listings."""
    ignored = _order_insensitive(tree)
    for node in ast.walk(tree):
        if id(node) in ignored:
            continue
        for part in _iterated(node):
            if id(part) not in ignored and is_set(part, sets):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "list":
                    yield _span(node.func, "sorted")
                else:
                    yield from _sorted_around(part)
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in _LISTINGS:
            by_name = ", key=lambda entry: entry.name" if node.func.attr == "scandir" else ""
            yield from _sorted_around(node, by_name)
        elif node.func.attr in _IN_ANY_ORDER:
            end = _span(node.func, "")[1]
            yield end - len(node.func.attr), end, _IN_ANY_ORDER[node.func.attr]


def _submission_changes(tree: ast.AST, sets: Collection[str]) -> Iterator[_Change]:
    """Yield the order of submission in place of `as_completed(...)`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or last_name(node) != "as_completed" or not node.args:
            continue
        (begin, end, _), (first, last, _) = _span(node, ""), _span(node.args[0], "")
        if isinstance(node.args[0], ast.Set | ast.SetComp):
            yield first, first + 1, "["
            yield last - 1, last, "]"
        elif is_set(node.args[0], sets):
            continue  # a set of futures has no order of submission
        yield begin, first, ""
        yield last, end, ""


def _clock_changes(tree: ast.AST) -> Iterator[_Change]:
    """Yield a number in place of a value that is computed from the clock.

    Only durations and remainders are values: the time at which a stopwatch starts and a deadline stay.
    """
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign | ast.AugAssign):
            continue
        operators = {type(n.op) for n in ast.walk(node.value) if isinstance(n, ast.BinOp)}
        if not operators & {ast.Sub, ast.Mod, ast.BitAnd}:
            continue
        clocks = _clocks(node.value)
        if clocks and ast.Sub in operators:
            yield _span(node.value, "1.0")
        else:
            yield from (_span(clock, "1" if last_name(clock).endswith("_ns") else "1.0") for clock in clocks)
        return


def _clocks(tree: ast.AST) -> list[ast.AST]:
    return [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and not n.args and not n.keywords and last_name(n) in _CLOCKS
    ]


def _hash_changes(tree: ast.AST) -> Iterator[_Change]:
    """Yield a hash of text that is the same in each process, in place of the first `hash(...)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "hash" and len(node.args) == 1:
            begin, end, _ = _span(node.args[0], "")
            yield _span(node.func, "zlib.crc32")
            yield begin, begin, "str("
            yield end, end, ").encode()"
            return


def _order_insensitive(tree: ast.AST) -> set[int]:
    """Return the ids of nodes whose order does not reach a value."""
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and last_name(n) in _ORDER_INSENSITIVE]
    return {id(n) for call in calls for part in call.args for n in ast.walk(part)}


def _iterated(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a piece of code iterates over in an order that reaches its value."""
    if isinstance(node, ast.For):
        yield node.iter
    elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp):
        yield from (g.iter for g in node.generators)
    elif isinstance(node, ast.Call) and last_name(node) in _ITERATES:
        yield from (a for a in node.args if not isinstance(a, ast.Starred))
    elif isinstance(node, ast.Starred):
        yield node.value


def is_set(node: ast.AST, sets: Collection[str] = ()) -> bool:
    """Return whether an expression is a set, as far as its text shows.

    Args:
        node: the expression.
        sets: names that hold sets; `x[]` if `x` is a dict of sets.
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


def _lacks_seed(call: ast.Call) -> bool:
    """Return whether a call creates a pipeline that takes a seed and is given none."""
    name = last_name(call)
    of_folder = name.endswith(("_dataset_from_directory", "_dataset_from_array"))
    function = ast.unparse(call.func)
    random = name == "random" and function.endswith("Dataset.random")
    raw = "raw_ops." in function and _RAW_RANDOM.match(name) is not None
    return (of_folder or raw or name in _SEEDS_ITS_KERNEL or (random and not call.args)) and all(
        k.arg not in ("seed", None) for k in call.keywords
    )


def _defines_seed_option(call: ast.Call) -> bool:
    """Return whether a call defines a command-line option for a seed, as with `argparse`."""
    return any(
        isinstance(a, ast.Constant) and isinstance(a.value, str) and "seed" in a.value for a in call.args
    )


def _creates_generator(node: ast.AST) -> bool:
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call)]
    return any(last_name(c) in _SEEDING - _SEEDS_GLOBALLY for c in calls)


def _sorted_around(node: ast.AST, key: str = "") -> Iterator[_Change]:
    begin, end, _ = _span(node, "")
    yield begin, begin, "sorted("
    yield end, end, f"{key})"


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
