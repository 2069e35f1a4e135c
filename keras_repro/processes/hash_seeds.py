"""Hash seeds for runs that are to differ in the order of sets: not every two tell a small set apart.

>>> hash_seeds("no script of that name", 3)
(1, 2, 3)

A set of two labels has the same order under half of all pairs of seeds. So those are chosen under which the
labels that stand in the script come in other orders, as far as few seeds allow.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

_SPARE = 3  # candidates beyond as many as there are runs
_MOST_GROUPS = 200
_LARGEST = 8  # labels in a group; larger ones come in other orders anyway

# As they stand there: a set that is written down is built in another way than one made of a list.
_ASK = "import json, sys; print(json.dumps([list(s) for s in ({sets},)]))"


def hash_seeds(script: str | None, runs: int) -> tuple[int, ...]:
    """Hash seeds for the runs of a script, the first of which is 1.

    Args:
        script: its path; None for a module.
        runs: how many runs there are, at least 2.
    """
    plain = tuple(range(1, runs + 1))
    groups = [] if script is None else list(_groups(script))[:_MOST_GROUPS]
    orders: dict[int, list[list[str]]] = {}
    for seed in range(1, runs + 1 + _SPARE) if groups else ():
        order = _orders(groups, seed)
        if order is None:
            return plain
        orders[seed] = order
    chosen = [1]
    while groups and len(chosen) < runs:
        left = [s for s in orders if s not in chosen]
        chosen.append(min(left, key=lambda s: (_alike(orders, [*chosen, s]), s)))
    return tuple(chosen) if groups else plain


def _alike(orders: dict[int, list[list[str]]], seeds: Sequence[int]) -> int:
    """How many groups come in one order under all of these seeds."""
    return sum(all(o == held[0] for o in held) for held in zip(*(orders[s] for s in seeds), strict=True))


def _groups(script: str) -> Iterator[str]:
    """The few texts that stand side by side in a script, as the code of a set: what may become one."""
    try:
        with open(script, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    seen: set[str] = set()
    for node in ast.walk(tree):
        parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", ())
        texts = [p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)]
        listed = ", ".join(ascii(text) for text in texts)
        code = f"{{{listed}}}" if isinstance(node, ast.Set) else f"set([{listed}])"
        if 2 <= len(set(texts)) <= _LARGEST and code not in seen:
            seen.add(code)
            yield code


def _orders(groups: Sequence[str], seed: int) -> list[list[str]] | None:
    """The order in which a set of each group is gone through under a hash seed; None if that is not told."""
    try:
        told = subprocess.run(
            [sys.executable, "-S", "-c", _ASK.format(sets=", ".join(groups))],
            env=os.environ | {"PYTHONHASHSEED": str(seed), "PYTHONPATH": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=True,
        )
        return list(json.loads(told.stdout))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
