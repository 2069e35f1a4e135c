"""Requested values of switches: checked, and converted to and from environment variables.

>>> validate_requests({"TF_NUM_INTRAOP_THREADS": "2", "op_determinism": True})
{'intra_op_threads': 2, 'op_determinism': True}
>>> as_variable("op_determinism", True)
'1'
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from keras_repro.determinism.switch_readings import AUTO_JIT_FLAG, CPU_JIT_FLAG, auto_jit_level
from keras_repro.determinism.switch_table import BLAS_VARIABLES, BY_NAME, SWITCHES
from keras_repro.errors import SwitchError

_Check = Callable[[Any], Any]

_OF_VARIABLE = {s.variable: s.name for s in SWITCHES if s.variable} | dict.fromkeys(
    BLAS_VARIABLES, "blas_threads"
)
# The values of a variable that TensorFlow accepts.
_BOOLEANS = {"0": False, "false": False, "1": True, "true": True}


def validate_requests(requested: Mapping[str, Any]) -> dict[str, Any]:
    """Return checked requests, by switch name.

    Args:
        requested: values by switch name, or environment variables and their text.

    Raises:
        SwitchError: a name is unknown, or a value is invalid.
    """
    requests = {}
    variables = {n: v for n, v in requested.items() if n in _OF_VARIABLE}
    for key, value in requested.items():
        name = _OF_VARIABLE.get(key, key)
        if name not in BY_NAME:
            raise SwitchError(f"there is no switch {key!r}; the switches are: {', '.join(BY_NAME)}")
        try:
            checked = from_variables(name, variables) if key in variables else _check_of(name)(value)
        except ValueError as error:
            raise SwitchError(f"switch {key}: expected {error}, got {value!r}") from None
        if checked is not None:
            requests[name] = checked
    return requests


def requests_in(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return those of some environment variables that set a switch."""
    return {n: v for n, v in variables.items() if n in _OF_VARIABLE}


def from_variables(name: str, variables: Mapping[str, str]) -> Any:
    """Return the value that environment variables request of a switch, None if they request none.

    Raises:
        ValueError: a variable's text is invalid; the message is what was expected.
    """
    names = BLAS_VARIABLES if name == "blas_threads" else (BY_NAME[name].variable,)
    text = next((variables[n] for n in names if n in variables), None)
    check = _check_of(name)
    if text is None:
        return None
    if name == "xla_auto_jit":
        level = auto_jit_level(text)
        return None if level == 0 else level > 0
    if check is _boolean:
        return _boolean(_BOOLEANS.get(text.lower(), text))
    if not text or (check is _count and text == "0"):
        return None
    if check is _text:
        return text.upper()
    return check(int(text) if text.isdecimal() else text)


def as_variable(name: str, value: Any) -> str:
    """Return a value as the text of the switch's environment variable."""
    if name == "xla_auto_jit":
        words = os.environ.get("TF_XLA_FLAGS", "").split()
        others = [w for w in words if not w.startswith((AUTO_JIT_FLAG, CPU_JIT_FLAG))]
        # On a CPU, XLA compiles no graph by itself without the second flag.
        flags = [f"{AUTO_JIT_FLAG}2", CPU_JIT_FLAG] if value else [f"{AUTO_JIT_FLAG}-1"]
        return " ".join([*others, *flags])
    return str(int(value)) if isinstance(value, bool) else str(value)


def thread_number(value: Any) -> int:
    """Return a number of threads, checked."""
    try:
        return _count(value)
    except ValueError as error:
        raise SwitchError(f"threads: expected {error}, got {value!r}") from None


def _check_of(switch: str) -> _Check:
    return _CHECKS.get(switch, _boolean)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("True or False (in a variable: 1 or 0)")


def _count(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise ValueError("a number of threads from 1 on")


def _hash_seed(value: Any) -> int | str:
    if value == "random":
        return "random"
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32:
        return value
    raise ValueError("'random' or a number from 0 to 4294967295")


def _text(value: Any) -> str:
    if isinstance(value, str) and value:
        return value.upper()
    raise ValueError("text")


def _options(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise ValueError("a mapping of options")


# Checks of the switches that are not booleans.
_CHECKS: dict[str, _Check] = {
    "hash_seed": _hash_seed,
    "intra_op_threads": _count,
    "inter_op_threads": _count,
    "blas_threads": _count,
    "onednn_isa": _text,
    "graph_optimizer": _options,
    "cublas_workspace": _text,
}
