"""Hash seeds under which the sets of a script iterate in different orders.

>>> hash_seeds("no script of that name", 3)
(1, 2, 3)

A set of two labels has the same order under half of all pairs of seeds. So the seeds are chosen such that the
labels in the script come in different orders, as far as a few candidates allow.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

_SPARE = 3  # candidates beyond the number of runs
_MOST_GROUPS = 200
_LARGEST = 8  # labels in a group; larger sets differ in order anyway

# The sets are built by a script's own expressions: a set display is built in another way than set([...]).
_CODE = "import json, sys; print(json.dumps([list(s) for s in ({sets},)]))"


def hash_seeds(script: str | None, runs: int) -> tuple[int, ...]:
    """Return hash seeds for the runs of a script, the first of which is 1.

    Args:
        script: its path; None for a module.
        runs: the number of runs, at least 2.
    """
    plain = tuple(range(1, runs + 1))
    groups = [] if script is None else list(_label_sets(script))[:_MOST_GROUPS]
    if not groups:
        return plain
    orders: dict[int, list[list[str]]] = {}
    for seed in range(1, runs + 1 + _SPARE):
        order = _orders(groups, seed)
        if order is None:
            return plain
        orders[seed] = order
    chosen = [1]
    while len(chosen) < runs:
        candidates = [s for s in orders if s not in chosen]
        chosen.append(min(candidates, key=lambda s: (_same_orders(orders, [*chosen, s]), s)))
    return tuple(chosen)


def _same_orders(orders: dict[int, list[list[str]]], seeds: Sequence[int]) -> int:
    """Return how many sets have the same order under all of these seeds."""
    return sum(all(o == group[0] for o in group) for group in zip(*(orders[s] for s in seeds), strict=True))


def _label_sets(script: str) -> Iterator[str]:
    """Yield each small group of string literals in a script as the code of a set."""
    try:
        with open(script, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    seen: set[str] = set()
    for node in ast.walk(tree):
        parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", ())
        labels = [p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)]
        listed = ", ".join(ascii(label) for label in labels)
        code = f"{{{listed}}}" if isinstance(node, ast.Set) else f"set([{listed}])"
        if 2 <= len(set(labels)) <= _LARGEST and code not in seen:
            seen.add(code)
            yield code


def _orders(groups: Sequence[str], seed: int) -> list[list[str]] | None:
    """Return the iteration order of each set under a hash seed; None if Python cannot be asked."""
    try:
        answer = subprocess.run(
            [sys.executable, "-P", "-S", "-c", _CODE.format(sets=", ".join(groups))],
            env=os.environ | {"PYTHONHASHSEED": str(seed), "PYTHONPATH": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=True,
        )
        return list(json.loads(answer.stdout))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
