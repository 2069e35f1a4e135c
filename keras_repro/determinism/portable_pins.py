"""What is pinned, before Python starts, so that another CPU computes the same bits.

    >>> pins = portable_environment(42)
    >>> pins["ONEDNN_MAX_CPU_ISA"], pins["TF_NUM_INTRAOP_THREADS"]
    ('AVX2', '1')
    >>> promise(2)
    'portable over x86-64 with AVX2, at 2 threads'
    >>> promise(2, same_at=(1, 2, 4))
    'portable over x86-64 with AVX2, at 1, 2 or 4 threads'

Beside what `pinned_environment` pins: oneDNN's kernels on and capped at AVX2, as many threads as were asked
for and not as the machine has, and NumPy and its OpenBLAS kept to AVX2 too, since data goes through them
before it is trained on. What cannot be pinned by a variable is in `exact` and in `GRAPH_OPTIMIZER`.
"""

from __future__ import annotations

import platform
import sys
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from keras_repro.determinism.switches import pinned_environment
from keras_repro.determinism.thread_rules import COUNTS
from keras_repro.errors import SwitchError
from keras_repro.ledger.schema import Determinism as Determinism

# They turn 1 / sqrt(x), x / sqrt(y) and 1 / x back into approximate instructions.
GRAPH_OPTIMIZER: Mapping[str, bool] = MappingProxyType(
    {"constant_folding": False, "arithmetic_optimization": False}
)
"""Options of TensorFlow's graph optimizer that a portable run needs."""

# What oneDNN takes no kernel beyond; every x86-64 CPU since 2013 or so has it.
ISA = "AVX2"

# Beginnings of the names under which NumPy knows instructions beyond AVX2.
_BEYOND = ("AVX512", "AVX10", "X86_V4")


@dataclass(frozen=True)
class Portability:
    """How a run is to be portable.

    Attributes:
        threads: how many it runs with.
        strict: whether what is not known to be portable is an error.
    """

    threads: int = 1
    strict: bool = True


def portable_environment(seed: int, *, threads: int = 1, strict: bool = True) -> dict[str, str]:
    """The environment variables of a portable run, for a launcher to set before Python starts.

    Args:
        seed: as for `pinned_environment`.
        threads: threads within operations, and between them: part of the promise.
        strict: whether a machine that cannot run what is portable is an error.

    Raises:
        SwitchError: this machine cannot run what is portable.
    """
    check_machine(strict=strict)
    variables = pinned_environment(seed, threads=threads)
    variables |= {"TF_ENABLE_ONEDNN_OPTS": "1", "ONEDNN_MAX_CPU_ISA": ISA, "OPENBLAS_CORETYPE": "Haswell"}
    beyond = numpy_features_beyond()
    if beyond:
        variables["NPY_DISABLE_CPU_FEATURES"] = " ".join(beyond)
    return variables


def portable_switches(*, threads: int = 1) -> dict[str, Any]:
    """What a portable run asks of the switches, by their names, in a process that has started."""
    return {
        "onednn": True,
        "onednn_isa": ISA,
        "op_determinism": True,
        "intra_op_threads": threads,
        "inter_op_threads": threads,
        "xla_auto_jit": False,
        "graph_optimizer": dict(GRAPH_OPTIMIZER),
    }


def promise(threads: int, same_at: Collection[int] = ()) -> str:
    """What a portable run promises, in words.

    Args:
        threads: how many it runs with.
        same_at: at which numbers of threads, of `thread_rules.COUNTS`, it is known to be as at one.
    """
    numbers = sorted(same_at) if threads in same_at else [threads]
    if set(COUNTS) <= set(same_at):
        said = "any number of threads"
    elif len(numbers) > 1:
        said = f"{', '.join(map(str, numbers[:-1]))} or {numbers[-1]} threads"
    else:
        said = f"{threads} thread{'' if threads == 1 else 's'}"
    return f"portable over x86-64 with {ISA}, at {said}"


def check_determinism(value: object) -> None:
    """Says what is wrong with a level of determinism.

    Raises:
        ValueError: there is none of that name.
    """
    if value not in ("bitwise", "portable"):
        raise ValueError(f"determinism must be 'bitwise' or 'portable', received {value!r}")


def check_machine(*, strict: bool = True) -> None:
    """Says why nothing portable can run here.

    Args:
        strict: raise; otherwise warn.

    Raises:
        SwitchError: it is another kind of machine, or a CPU without AVX2.
    """
    reason = why_not_portable(platform.machine(), has_avx2())
    if reason:
        text = f"portable runs need an x86-64 CPU with AVX2: {reason}; leave out 'portable' here"
        if strict:
            raise SwitchError(text)
        warnings.warn(f"keras_repro: {text}", stacklevel=3)


def machine_in_words() -> str:
    """Whether portable runs are possible on this machine, at which level, and how."""
    reason = why_not_portable(platform.machine(), has_avx2())
    return f"not possible here, {reason}" if reason else f"{promise(1)}: keras-repro run --portable SCRIPT"


def why_not_portable(machine: str, avx2: bool | None) -> str | None:
    """Why a machine cannot run what is portable, None where it can.

    Args:
        machine: its kind, as `platform.machine` names it.
        avx2: whether its CPU has AVX2; None where that is not known.
    """
    if machine.lower() not in ("x86_64", "amd64"):
        return f"this machine is {machine or 'of an unknown kind'}"
    return "this CPU has no AVX2" if avx2 is False else None


def has_avx2() -> bool | None:
    """Whether the CPU has AVX2 and FMA: asked of itself by NumPy, else as the system tells."""
    features = _numpy_features()
    if features:
        return bool(features.get("AVX2")) and bool(features.get("FMA3"))
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    flags = next((line.split() for line in lines if line.startswith("flags")), None)
    return None if flags is None else {"avx2", "fma"} <= set(flags)


def numpy_features_beyond() -> list[str]:
    """NumPy's names of what this CPU has beyond AVX2 and NumPy would use."""
    features = _numpy_features()
    known = getattr(_numpy_core(), "__cpu_dispatch__", ())
    return [name for name in known if name.startswith(_BEYOND) and features.get(name)]


def _numpy_features() -> Mapping[str, bool]:
    return getattr(_numpy_core(), "__cpu_features__", {})


def _numpy_core() -> Any:
    import numpy  # noqa: F401

    # Its place has changed once, with NumPy 2.
    return sys.modules.get("numpy._core._multiarray_umath") or sys.modules.get("numpy.core._multiarray_umath")
