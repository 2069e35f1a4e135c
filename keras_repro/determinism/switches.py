"""Every switch that makes a run reproducible: its requested value, its effective value, and the fix.

    >>> pinned_environment(42, threads=2)["TF_NUM_INTRAOP_THREADS"]
    '2'
    >>> [(r.name, r.requested) for r in read_switches({"hash_seed": 42})][0]
    ('hash_seed', 42)

A variable is only a request. The effective value is read from the interpreter and from the loaded TensorFlow
(`switch_readings`), which is never imported or started for it.
"""

from __future__ import annotations

import os
import platform
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from keras_repro.determinism import tf_runtime
from keras_repro.determinism.switch_readings import AUTO_JIT_FLAG, EFFECTIVE_VALUES, NO_GPU
from keras_repro.determinism.switch_requests import (
    as_variable,
    from_variables,
    thread_number,
    validate_requests,
)
from keras_repro.determinism.switch_table import BLAS_VARIABLES, BY_NAME, SWITCHES, Reading, Switch, When
from keras_repro.determinism.tf_runtime import UNKNOWN, Stage
from keras_repro.errors import SwitchError


def read_switches(requested: Mapping[str, Any] | None = None) -> tuple[Reading, ...]:
    """Read the effective value of every switch in this process. Changes nothing.

    Args:
        requested: requested values by switch name, or variables and their text as `pinned_environment`
            returns them. For all other switches, this process's variables are the request.

    Returns:
        One reading for each of `SWITCHES`.

    Raises:
        SwitchError: a name is unknown, or a value is invalid.
    """
    requests = validate_requests(requested or {})
    tf_runtime.remember_environment()
    return tuple(_read(switch, requests) for switch in SWITCHES)


def apply_switches(requested: Mapping[str, Any], *, strict: bool = True) -> tuple[Reading, ...]:
    """Set the switches that can still be set in this process, and read all of them.

    Args:
        requested: as for `read_switches`.
        strict: whether a switch that comes too late is an error; a warning otherwise.

    Returns:
        One reading for each of `SWITCHES`; `ok` is False if the request came too late, None if it takes
        effect when TensorFlow starts.

    Raises:
        SwitchError: a switch comes too late (then none is set), a name is unknown, or a value is invalid.
    """
    requests = validate_requests(requested)
    tf_runtime.remember_environment()
    late = {s.name: r for s in SWITCHES if s.name in requests and (r := _if_late(s, requests)) is not None}
    if late and strict:
        raise SwitchError("\n".join(_error_text(r) for r in late.values()))
    for name, value in requests.items():
        if name not in late and EFFECTIVE_VALUES[name]() != value:
            _set(name, value)
    tf_runtime.remember_environment()
    readings = tuple(late.get(s.name) or _read(s, requests) for s in SWITCHES)
    for reading in readings:
        if reading.name in requests and reading.ok is False:
            if strict:
                raise SwitchError(_error_text(reading))
            warnings.warn(_error_text(reading), stacklevel=2)
    return readings


def probe_switches() -> tuple[Reading, ...]:
    """Import and start TensorFlow, and read every switch, in a process that does not train."""
    tf_runtime.remember_environment()
    tf_runtime.start_tensorflow()
    return read_switches()


def pinned_environment(seed: int, *, threads: int | None = None) -> dict[str, str]:
    """Return the environment variables that pin the switches, to set before Python starts.

    The instruction set is not pinned, only recorded: an old one would cost speed. With
    `TF_DETERMINISTIC_OPS`, TensorFlow's random operations refuse to run without a seed.

    Args:
        seed: the run's seed, which is also Python's hash seed.
        threads: threads within operations, and between them; default: the number of CPUs of this process.
    """
    count = tf_runtime.cpu_count() if threads is None else thread_number(threads)
    return {
        "PYTHONHASHSEED": str(seed % 2**32),
        "TF_DETERMINISTIC_OPS": "1",
        "TF_NUM_INTRAOP_THREADS": str(count),
        "TF_NUM_INTEROP_THREADS": str(count),
        # OpenBLAS starts no more threads than there are CPUs.
        **dict.fromkeys(BLAS_VARIABLES, str(min(count, tf_runtime.cpu_count()))),
        # TensorFlow's default depends on the CPU.
        "TF_ENABLE_ONEDNN_OPTS": "1" if platform.machine() in ("x86_64", "AMD64") else "0",
        # -1 is off; 0 would leave it to the program.
        "TF_XLA_FLAGS": f"{AUTO_JIT_FLAG}-1",
        "NVIDIA_TF32_OVERRIDE": "0",
        "TF_CUDNN_DETERMINISTIC": "1",
        "TF_CUDNN_USE_AUTOTUNE": "0",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }


# When a switch can no longer be set: in words, and whether that is so in this process.
_PASSED: dict[When, tuple[str, Callable[[], bool]]] = {
    "before Python starts": ("Python had started", lambda: True),
    "before NumPy is imported": ("NumPy was imported", lambda: "numpy" in sys.modules),
    "before TensorFlow is imported": ("TensorFlow was imported", tf_runtime.tensorflow_imported),
    "before TensorFlow lists its devices": (
        "TensorFlow had listed its devices",
        lambda: tf_runtime.stage() >= Stage.LISTED,
    ),
    "before TensorFlow's runtime starts": (
        "TensorFlow's runtime had started",
        tf_runtime.tensorflow_started,
    ),
    # On a CPU, models built later follow (measured); kernels that exist on a GPU do not.
    "before the model is built": (
        "TensorFlow's runtime had started on a GPU",
        lambda: tf_runtime.tensorflow_started() and tf_runtime.gpu_visible() is not False,
    ),
}


def _read(switch: Switch, requests: Mapping[str, Any]) -> Reading:
    name = switch.name
    achieved = EFFECTIVE_VALUES[name]()
    try:
        requested = requests[name] if name in requests else from_variables(name, os.environ)
    except ValueError as error:
        text = os.environ.get(switch.variable)
        shown = None if achieved is UNKNOWN else achieved
        return Reading(name, text, shown, False, f"expected {error}; {_fix(switch, None)}")
    if achieved is UNKNOWN:
        why = "it changed around the time when it is read"
        return Reading(name, requested, None, None, f"{why}; {_fix(switch, requested)}")
    if achieved == NO_GPU:
        return Reading(name, requested, achieved)
    if achieved is None:
        return Reading(name, requested, None, None, _not_yet(switch))
    if requested is None:
        return Reading(name, None, achieved, None, "" if achieved == {} else _fix(switch, None))
    ok = bool(requested == achieved)
    return Reading(name, requested, achieved, ok, "" if ok else _fix(switch, requested))


def _if_late(switch: Switch, requests: Mapping[str, Any]) -> Reading | None:
    """Return the reading of a switch that is not as requested and can no longer be set; None otherwise."""
    reading = _read(switch, requests)
    if reading.ok or reading.achieved == NO_GPU or not _PASSED[switch.when][1]():
        return None
    return replace(reading, ok=False, fix=_fix(switch, requests[switch.name]))


def _error_text(reading: Reading) -> str:
    after, passed = _PASSED[BY_NAME[reading.name].when]
    too_late = f" after {after}" if passed() else ""
    state = "is unknown" if reading.achieved is None else f"is {reading.achieved!r}"
    return (
        f"switch {reading.name}: {reading.requested!r} was requested{too_late}; "
        f"the effective value {state}. Fix: {reading.fix}"
    )


def _fix(switch: Switch, value: Any) -> str:
    """Return the line or command that sets a switch; without a value, to that of `pinned_environment`."""
    if switch.name == "graph_optimizer":
        options = {} if value is None else value
        return f"call tf.config.optimizer.set_experimental_options({options!r}) before building"
    if switch.name == "onednn_isa" and value is None:
        return "to compare runs of two CPUs, start with: ONEDNN_MAX_CPU_ISA=AVX2 python ..."
    pinned = pinned_environment(0).get(switch.variable)
    text = pinned if value is None else as_variable(switch.name, value)
    quoted = f"'{text}'" if text and " " in text else text
    line = f"start with: {switch.variable}={quoted} python ..."
    return f"{line}, or: keras-repro run SCRIPT" if text == pinned else line


def _not_yet(switch: Switch) -> str:
    if switch.name == "blas_threads":
        return "no OpenBLAS is loaded"
    if tf_runtime.tensorflow_started():
        return "this version of TensorFlow does not report it"
    loaded = tf_runtime.tensorflow_imported()
    return f"TensorFlow {'has not started' if loaded else 'is not loaded'} yet"


def _set(name: str, value: Any) -> None:
    """Set a switch that is not fixed yet, in the loaded TensorFlow or in the environment."""
    config = tf_runtime.config_module()
    if config is not None and name == "op_determinism":
        tf_runtime.set_op_determinism(value)
    elif config is not None and name == "intra_op_threads":
        config.set_intra_op_parallelism_threads(value)
    elif config is not None and name == "inter_op_threads":
        config.set_inter_op_parallelism_threads(value)
    elif name == "graph_optimizer":
        if config is None:
            raise SwitchError(f"switch {name}: import TensorFlow first, it has no variable")
        config.set_optimizer_experimental_options(value)
    elif name == "blas_threads":
        os.environ.update(dict.fromkeys(BLAS_VARIABLES, str(value)))
    else:
        if config is not None and name == "tf32":
            config.enable_tensor_float_32_execution(value)
        os.environ[BY_NAME[name].variable] = as_variable(name, value)
