"""The environment and switches of a portable run, so that another CPU computes the same bits.

    >>> pins = portable_environment(42)
    >>> pins["ONEDNN_MAX_CPU_ISA"], pins["TF_NUM_INTRAOP_THREADS"]
    ('AVX2', '1')
    >>> promise(2)
    'portable over x86-64 with AVX2, at 2 threads'
    >>> promise(2, same_at=(1, 2, 4))
    'portable over x86-64 with AVX2, at 1, 2 or 4 threads'

In addition to `pinned_environment`: oneDNN's kernels are on and capped at AVX2, the number of threads does
not depend on the machine, and NumPy and its OpenBLAS are capped at AVX2 too, because data passes through
them. What no variable can pin is in `exact_functions` of the backend and in `GRAPH_OPTIMIZER`.
"""

from __future__ import annotations

import platform
import sys
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from keras_repro.determinism.switches import pinned_environment
from keras_repro.determinism.thread_rules import COUNTS
from keras_repro.errors import SwitchError
from keras_repro.ledger.schema import Determinism as Determinism

# They replace 1 / sqrt(x), x / sqrt(y) and 1 / x by approximate instructions.
GRAPH_OPTIMIZER: Mapping[str, bool] = MappingProxyType(
    {"constant_folding": False, "arithmetic_optimization": False}
)
"""Options of TensorFlow's graph optimizer that a portable run needs."""

# The newest instruction set of oneDNN's kernels. Nearly every x86-64 CPU since 2013 has it.
ISA = "AVX2"

# Prefixes of NumPy's names of instruction sets beyond AVX2.
_BEYOND = ("AVX512", "AVX10", "X86_V4")


@dataclass(frozen=True)
class Portability:
    """The request for a portable run.

    Attributes:
        threads: number of threads.
        strict: whether a step that is not known to be portable is an error.
    """

    threads: int = 1
    strict: bool = True


def portable_environment(seed: int, *, threads: int = 1, strict: bool = True) -> dict[str, str]:
    """Return the environment variables of a portable run, to set before Python starts.

    Args:
        seed: as for `pinned_environment`.
        threads: threads within operations, and between them; the guarantee holds for this number.
        strict: whether a machine that cannot run portably is an error.

    Raises:
        SwitchError: this machine cannot run portably.
    """
    check_machine(strict=strict)
    variables = pinned_environment(seed, threads=threads)
    variables |= {"TF_ENABLE_ONEDNN_OPTS": "1", "ONEDNN_MAX_CPU_ISA": ISA, "OPENBLAS_CORETYPE": "Haswell"}
    beyond = numpy_features_beyond()
    if beyond:
        variables["NPY_DISABLE_CPU_FEATURES"] = " ".join(beyond)
    return variables


def portable_switches() -> dict[str, Any]:
    """Return the switches that a portable run requests in a process that has started, by name."""
    return {
        "onednn": True,
        "onednn_isa": ISA,
        "op_determinism": True,
        "intra_op_threads": 1,
        "inter_op_threads": 1,
        "xla_auto_jit": False,
        "graph_optimizer": dict(GRAPH_OPTIMIZER),
    }


def promise(threads: int, same_at: Collection[int] = ()) -> str:
    """Return the guarantee of a portable run, in words.

    Args:
        threads: number of threads of the run.
        same_at: thread counts of `thread_rules.COUNTS` that are known to give the bits of one thread.
    """
    numbers = sorted(same_at) if threads in same_at else [threads]
    if set(COUNTS) <= set(same_at):
        counts = "any number of threads"
    elif len(numbers) > 1:
        counts = f"{', '.join(map(str, numbers[:-1]))} or {numbers[-1]} threads"
    else:
        counts = f"{threads} thread{'' if threads == 1 else 's'}"
    return f"portable over x86-64 with {ISA}, at {counts}"


def check_machine(*, strict: bool = True) -> None:
    """Check that this machine can run portably.

    Args:
        strict: whether to raise an error; a warning otherwise.

    Raises:
        SwitchError: this is another kind of machine, or a CPU without AVX2.
    """
    reason = why_not_portable(platform.machine(), has_avx2())
    if reason:
        text = f"portable runs need an x86-64 CPU with AVX2: {reason}; leave out 'portable' here"
        if strict:
            raise SwitchError(text)
        warnings.warn(f"keras_repro: {text}", stacklevel=3)


def machine_in_words() -> str:
    """Return in words whether portable runs are possible on this machine, at which level, and how."""
    reason = why_not_portable(platform.machine(), has_avx2())
    return f"not possible here, {reason}" if reason else f"{promise(1)}: keras-repro run --portable SCRIPT"


def why_not_portable(machine: str, avx2: bool) -> str | None:
    """Return why a machine cannot run portably, None if it can.

    Args:
        machine: its kind, as `platform.machine` names it.
        avx2: whether its CPU has AVX2.
    """
    if machine.lower() not in ("x86_64", "amd64"):
        return f"this machine is {machine or 'of an unknown kind'}"
    return None if avx2 else "this CPU has no AVX2"


def has_avx2() -> bool:
    """Return whether the CPU has AVX2 and FMA, according to NumPy."""
    features = _numpy_features()
    return bool(features.get("AVX2")) and bool(features.get("FMA3"))


def numpy_features_beyond() -> list[str]:
    """Return NumPy's names of the instruction sets beyond AVX2 that it would use on this CPU."""
    features = _numpy_features()
    known = getattr(_numpy_core(), "__cpu_dispatch__", ())
    return [name for name in known if name.startswith(_BEYOND) and features.get(name)]


def _numpy_features() -> Mapping[str, bool]:
    return getattr(_numpy_core(), "__cpu_features__", {})


def _numpy_core() -> Any:
    import numpy  # noqa: F401

    # NumPy 2 renamed the module.
    return sys.modules.get("numpy._core._multiarray_umath") or sys.modules.get("numpy.core._multiarray_umath")
