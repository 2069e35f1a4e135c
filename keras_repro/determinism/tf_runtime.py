"""What TensorFlow is doing in this process: looked at, never imported and never started for it.

    >>> tensorflow_started() and not tensorflow_imported()
    False

Everything here goes through `sys.modules`. TensorFlow takes its variables over at different times
(measured with 2.21): `TF_ENABLE_ONEDNN_OPTS` on import, `TF_XLA_FLAGS` when devices are first
listed, thread counts when the runtime starts, `ONEDNN_MAX_CPU_ISA` in the first oneDNN operation,
`TF_DETERMINISTIC_OPS` when something first asks for it (a model's `compile` does). So a variable's
present value proves nothing by itself: `settled` compares it with what was seen before that moment.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any


class Stage(IntEnum):
    """How far this process has come; each stage closes some doors."""

    PYTHON = 0
    IMPORTED = 1
    LISTED = 2
    STARTED = 3


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Any = _Unknown()
"""What `settled` and the readers return where nothing proves a value."""

_seen: dict[Stage, dict[str, str]] = {}
_determinism_set = False


def tensorflow_imported() -> bool:
    """Whether this process has imported TensorFlow."""
    return "tensorflow" in sys.modules


def tensorflow_started() -> bool:
    """Whether TensorFlow's runtime runs: thread counts and devices are fixed from then on."""
    return bool(getattr(_context(), "_initialized", False))


def stage() -> Stage:
    """How far this process has come."""
    if tensorflow_started():
        return Stage.STARTED
    if getattr(_context(), "_physical_devices", None) is not None:
        return Stage.LISTED
    return Stage.IMPORTED if tensorflow_imported() else Stage.PYTHON


def start_tensorflow() -> None:
    """Imports TensorFlow and starts its runtime: for a process that does not train."""
    with _quiet():
        import tensorflow as tf

        tf.config.list_logical_devices()


def remember_environment() -> None:
    """Notes what the environment is at this stage, so that `settled` can vouch for more later on.

    Call it as TensorFlow has just been imported; it draws, sets and starts nothing.
    """
    _seen[stage()] = dict(os.environ)


def settled(variable: str, deadline: Stage) -> Any:
    """The value that a library took from a variable which it reads once, at `deadline`.

    Returns:
        The value; None where it was not set; `UNKNOWN` where it was changed around the deadline.
    """
    now = os.environ.get(variable)
    if stage() < deadline:
        return now
    before: Mapping[str, str] | None = start_environment()
    for reached in sorted(_seen):
        if reached < deadline:
            before = _seen[reached]
    return now if before is not None and before.get(variable) == now else UNKNOWN


@functools.cache
def start_environment() -> Mapping[str, str] | None:
    """The environment that this process was started with; None where the system does not tell."""
    try:
        data = Path("/proc/self/environ").read_bytes()
    except OSError:
        return None
    pairs = (os.fsdecode(item).partition("=") for item in data.split(b"\0") if item)
    return {name: value for name, _, value in pairs}


def cpu_count() -> int:
    """The CPUs that this process may use, from which TensorFlow takes its default thread counts."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def onednn_enabled() -> bool | None:
    """Whether TensorFlow uses oneDNN: its own answer, fixed when it was imported."""
    return _call("tensorflow.python.util._pywrap_util_port", "IsMklEnabled")


def op_determinism_enabled() -> bool | None:
    """Whether TensorFlow runs deterministic operations; None before its runtime has started.

    Asking fixes the answer for the process: TensorFlow reads `TF_DETERMINISTIC_OPS` on the first
    question and never again, so an earlier one would shut out a script that sets it later. A value
    that is no boolean ends the process, so then it is not asked.
    """
    if not (tensorflow_started() or _determinism_set):
        return None
    if os.environ.get("TF_DETERMINISTIC_OPS", "0").lower() not in ("0", "1", "false", "true"):
        return None
    return _call("tensorflow.python.util._pywrap_determinism", "is_enabled")


def set_op_determinism(enabled: bool) -> None:
    """Turns deterministic operations on or off in the TensorFlow that is loaded."""
    config = sys.modules["tensorflow.python.framework.config"]
    (config.enable_op_determinism if enabled else config.disable_op_determinism)()
    global _determinism_set
    _determinism_set = True


def tf32_enabled() -> bool | None:
    """Whether TensorFlow allows TensorFloat-32; NVIDIA's libraries may still be told not to."""
    return _call("tensorflow.python.util._pywrap_tensor_float_32_execution", "is_enabled")


def gpu_visible() -> bool | None:
    """Whether a GPU takes part; None where that is not known before devices have been listed."""
    build = getattr(sys.modules.get("tensorflow.python.platform.build_info"), "build_info", None)
    if build is None:
        return None
    if not build.get("is_cuda_build") and not build.get("is_rocm_build"):
        return False
    devices = getattr(_context(), "_physical_devices", None)
    return None if devices is None else any(d.device_type == "GPU" for d in devices)


def option(name: str) -> Any:
    """An option that the program set on TensorFlow's context; None where it did not."""
    return getattr(_context(), name, None)


@dataclass(frozen=True)
class Counted:
    """How many threads a pool has, as far as looking at them tells: from `least` to `most`."""

    least: int
    most: int


def thread_counts() -> tuple[Counted, Counted] | None:
    """Counts the threads that TensorFlow's runtime started, within operations and between them.

    The pools are told apart by when and in what order they were made: those within operations
    (their name is too long for Linux, so they bear the process's), those between (`tf_Compute`),
    then, with the first operation, others.

    Returns:
        Both counts; None where they cannot be told.
    """
    tasks = sorted(_tasks())
    names = [name for _, _, name in tasks]
    if not tensorflow_started() or "tf_Compute" not in names:
        return None
    first = names.index("tf_Compute")
    before = [t for t in reversed(tasks[:first]) if t[1] != os.getpid()]
    within = list(itertools.takewhile(lambda t: not t[2].startswith("tf_"), before))
    between = list(itertools.takewhile(lambda t: t[2] == "tf_Compute", tasks[first:]))
    if not within:
        return None
    return _counted([tasks[first], *within], skip=1), _counted(between)


def _counted(tasks: list[tuple[int, int, str]], *, skip: int = 0) -> Counted:
    """At least those that started in one go, at most all of them."""
    # A pool's threads start within microseconds; the ticks (of 10 ms) allow for a busy machine.
    gaps = [abs(b[0] - a[0]) > 5 for a, b in itertools.pairwise(tasks)]
    together = gaps.index(True) + 1 if True in gaps else len(tasks)
    return Counted(max(together - skip, 1), len(tasks) - skip)


def blas_threads() -> int | None:
    """How many threads NumPy's OpenBLAS uses; None where none is loaded, or another library."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return None
    counts = []
    for path in {line.split(maxsplit=5)[-1] for line in lines if "openblas" in line}:
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for prefix in ("scipy_", ""):
            for suffix in ("64_", ""):
                ask = getattr(library, f"{prefix}openblas_get_num_threads{suffix}", None)
                if ask is not None:
                    counts.append(int(ask()))
    return max(counts, default=None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the lines that TensorFlow's C++ code writes past Python, whatever its log level."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error to keep quiet
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _context() -> Any:
    # `context.context()` would make one; this only looks.
    return getattr(sys.modules.get("tensorflow.python.eager.context"), "_context", None)


def _call(module: str, function: str) -> bool | None:
    ask = getattr(sys.modules.get(module), function, None)
    return None if ask is None else bool(ask())


def _tasks() -> list[tuple[int, int, str]]:
    """This process's threads as (start in clock ticks, number, name)."""
    found = []
    for stat in Path("/proc/self/task").glob("*/stat"):
        try:
            number, name, rest = re.fullmatch(
                r"(\d+) \((.*)\) (.*)", stat.read_text().strip(), re.DOTALL
            ).groups()  # type: ignore[union-attr]
            found.append((int(rest.split()[19]), int(number), name))
        except (OSError, AttributeError, ValueError, IndexError):
            continue
    return found
