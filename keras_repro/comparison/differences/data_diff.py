"""Name the arguments in which the data of two fits, evaluations or predictions differs.

>>> differing_arguments({"x[0]": "1f", "x[1]": "02", "y": "77"}, {"x[0]": "a0", "x[1]": "02", "y": "01"})
'x[0] and y'
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from keras_repro.utils.mappings import differing_names
from keras_repro.utils.text import first_few
from keras_repro.utils.untrusted_json import as_mapping

DATA_NAMES = {"data": "the data", "validation_data": "the validation data"}
"""The fields of a record that describe data, in words."""

_MOST = 3


def differing_arguments(a: Mapping[str, str], b: Mapping[str, str]) -> str:
    """Return the arguments that differ in words, such as `"x and y"`; empty if that is not known.

    Args:
        a: the digests of the parts of the first data: `x`, `x['age']`, `y`, ...
        b: those of the second data.
    """
    if not a or not b:
        return ""
    differing = differing_names(a, b)
    parts: dict[str, list[str]] = {}
    for part in dict.fromkeys([*a, *b]):
        parts.setdefault(re.split(r"\[", part, maxsplit=1)[0], []).append(part)
    names: list[str] = []
    for argument, of_argument in parts.items():
        different = [part for part in of_argument if part in differing]
        names += [argument] if different == of_argument else different
    return " and ".join(names) if len(names) < _MOST else first_few(names, _MOST)


def other_values(name: str, a: Mapping[str, Any], b: Mapping[str, Any], *, given_to: str) -> str:
    """Return a sentence on data with other values, and on the arguments that differ if they are known.

    Args:
        name: the field of the record that describes it.
        a: the description of the first data.
        b: the description of the second data.
        given_to: the method that got it.
    """
    arguments = differing_arguments(as_mapping(a.get("parts")), as_mapping(b.get("parts")))
    verb = "differ" if " and " in arguments else "differs"
    if arguments and name == "validation_data":
        return f"{arguments} of the validation data {verb}"
    return f"{arguments or DATA_NAMES[name]} given to {given_to} {verb}"
