"""Hostile texts and values of all types, and how they get into JSON."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from random import Random
from typing import Any

# What must never become a tag, a link, a control sequence or a traceback.
HOSTILE = (
    "[link=http://evil.example]krevil[/link]",
    "[/]",
    "[bold red on blink]krevil[/bold]",
    ":boom: krevil",
    "\x1b]8;;http://evil.example\x1b\\krevil\x1b]8;;\x1b\\",
    "\x1b[2J\x1b[31mkrevil\x9b1m\x07\r\b",
    "<krevil onload=krevil()>",
    '"><krevil a="',
    "'/><krevil>",
    "</script><krevil>",
    "</style><krevil>",
    "<!--krevil",
    "{{ 7*191 }}{% krevil %}",
    "[krevil](http://evil.example)",
    "![krevil](javascript:krevil)",
    "<http://evil.example>",
    "http://evil.example www.evil.example krevil@evil.example @krevil",
    "| krevil | [x]: http://evil.example",
    "\n\n# krevil\n\n<krevil>\n\n```",
    "`` `<krevil>` ``",
    "$\\krevil{$ \\frac{",
    "\u202ekrevil\u2066\u200b\ud800\udfff\U000e0041\ufff9",
    "../../../../etc/passwd",
    "/etc/passwd\0",
    "%s%n{0}{x.y}",
    "krevil" * 5000,
    "\u0661\u00b2\uff11",
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        3,
        2**31,
        2**62,
        2**63,
        -(2**64),
        10**4299,
        0.5,
        -0.0,
        1e308,
        -1e308,
        5e-324,
    ),
    *(
        "",
        "0",
        "nan",
        "inf",
        "-inf",
        "finished",
        "stopped",
        "observed",
        "portable",
        "float32",
        "bfloat16",
        "string",
    ),
    *(
        [],
        {},
        [[]],
        [{}],
        {"": {}},
        [None],
        [1, "a", None],
        {"a": [{"b": [{}]}]},
        {"model": []},
        {"name": {}},
    ),
    *([0, 2**62, 2**62], [1] * 64, [2] * 70, ["float32", [2**62] * 60], list(range(3000)), {"a": "b" * 9000}),
)


def change_container(container: Any, random: Random) -> None:
    """Replace, remove, rename or add a value of a list or a mapping."""
    keys = list(container) if isinstance(container, dict) else list(range(len(container)))
    if not keys or random.random() < 0.1:
        if isinstance(container, dict):
            container[hostile_text(random)] = any_value(random)
        else:
            container.append(any_value(random))
        return
    key, action = random.choice(keys), random.random()
    if action < 0.15:
        del container[key]
    elif action < 0.35 and isinstance(container, dict):
        name = hostile_text(random)
        items = [(name if k == key else k, v) for k, v in container.items()]
        container.clear()
        container.update(items)
    else:
        container[key] = any_value(random)


def any_value(random: Random) -> Any:
    """Return a hostile text, or a value of any type."""
    return hostile_text(random) if random.random() < 0.5 else copy.deepcopy(random.choice(VALUES))


def hostile_text(random: Random) -> str:
    """Return a text of one or several hostile parts."""
    return "".join(random.choices(HOSTILE, k=random.choice((1, 4, 8))))


def containers(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield all lists and mappings in a value, each with the names that lead to it ("*" for tensors)."""
    if isinstance(value, dict | list):
        yield place, value
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            name = "*" if isinstance(key, int) or "/" in key else key
            yield from containers(item, (*place, name))
