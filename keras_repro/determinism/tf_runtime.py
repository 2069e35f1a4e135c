"""The state of TensorFlow in this process, read without importing or starting it.

    >>> tensorflow_started() and not tensorflow_imported()
    False

Everything here goes through `sys.modules`. TensorFlow reads its environment variables at different times:
`TF_ENABLE_ONEDNN_OPTS` on import, `TF_XLA_FLAGS` when devices are first listed, thread counts when the
runtime starts, `ONEDNN_MAX_CPU_ISA` in the first oneDNN operation, `TF_DETERMINISTIC_OPS` when something
first asks for it (as a model's `compile` does). A variable's present value therefore proves nothing:
`settled` compares it with the value before that moment.

Times and private names checked with TensorFlow 2.21: the modules below, and of the context `_context`,
`_initialized`, `_physical_devices` and those in `_OPTIONS`; with Keras 3.10 to 3.15: `ArrayDataAdapter`.
`training.backends` holds all others.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any


class Stage(IntEnum):
    """How far this process has come; each stage fixes some switches."""

    PYTHON = 0
    IMPORTED = 1
    LISTED = 2
    STARTED = 3


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Any = _Unknown()
"""The value of a switch if nothing proves it."""

_seen: dict[Stage, dict[str, str]] = {}
_determinism_set = False


def tensorflow_imported() -> bool:
    """Return whether this process has imported TensorFlow."""
    return "tensorflow" in sys.modules


def tensorflow_started() -> bool:
    """Return whether TensorFlow's runtime has started, which fixes thread counts and devices."""
    return bool(getattr(_context(), "_initialized", False))


def stage() -> Stage:
    """Return how far this process has come."""
    if tensorflow_started():
        return Stage.STARTED
    if getattr(_context(), "_physical_devices", None) is not None:
        return Stage.LISTED
    return Stage.IMPORTED if tensorflow_imported() else Stage.PYTHON


def start_tensorflow() -> None:
    """Import TensorFlow and start its runtime, in a process that does not train."""
    with _quiet():
        import tensorflow as tf

        tf.config.list_logical_devices()


def seed_reaches_order() -> bool:
    """Return whether `fit` of the installed Keras shuffles arrays in another order under another seed.

    Imports Keras. Two graphs with seeds of their own are tried: the seeds and generators of this process stay
    as they are.
    """
    import numpy as np
    import tensorflow as tf
    from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

    samples = np.arange(16.0, dtype="float32")

    def order(seed: int) -> list[float]:
        def only_batch() -> Any:
            tf.compat.v1.set_random_seed(seed)  # of this graph alone
            adapter = ArrayDataAdapter(samples, samples, batch_size=len(samples), shuffle=True)
            return adapter.get_tf_dataset().get_single_element()[0]

        with warnings.catch_warnings(action="ignore"), tf.device("CPU:0"):  # TensorFlow warns of such a seed
            batch = tf.function(only_batch, autograph=False).get_concrete_function()()
        shuffled: list[float] = batch.numpy().tolist()
        return shuffled

    return order(1) != order(2)


def remember_environment() -> None:
    """Store the environment of this stage, so that `settled` can prove more values later.

    Call it when TensorFlow has just been imported. It draws, sets and starts nothing.
    """
    _seen[stage()] = dict(os.environ)


def settled(variable: str, deadline: Stage) -> Any:
    """Return the value that a library took from an environment variable which it reads once.

    Args:
        variable: name of the environment variable.
        deadline: the stage at which the library reads it.

    Returns:
        The value; None if it was not set; `UNKNOWN` if it changed around the deadline.
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
    """Return the environment that this process was started with, None if the system does not tell."""
    try:
        data = Path("/proc/self/environ").read_bytes()
    except OSError:
        return None
    pairs = (os.fsdecode(item).partition("=") for item in data.split(b"\0") if item)
    return {name: value for name, _, value in pairs}


def cpu_count() -> int:
    """Return the number of CPUs this process may use, which is TensorFlow's default thread count."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def onednn_enabled() -> bool | None:
    """Return whether TensorFlow uses oneDNN, which is fixed on import."""
    return _call("tensorflow.python.util._pywrap_util_port", "IsMklEnabled")


def op_determinism_enabled() -> bool | None:
    """Return whether TensorFlow runs deterministic operations; None before its runtime has started.

    TensorFlow reads `TF_DETERMINISTIC_OPS` at the first question and never again, so an early question would
    override a script that sets it later. A value that is no boolean ends the process: then nothing is asked.
    """
    if not (tensorflow_started() or _determinism_set):
        return None
    if os.environ.get("TF_DETERMINISTIC_OPS", "0").lower() not in ("0", "1", "false", "true"):
        return None
    return _call("tensorflow.python.util._pywrap_determinism", "is_enabled")


def set_op_determinism(enabled: bool) -> None:
    """Turn deterministic operations on or off in the loaded TensorFlow."""
    config = config_module()
    (config.enable_op_determinism if enabled else config.disable_op_determinism)()
    global _determinism_set
    _determinism_set = True


def tf32_enabled() -> bool | None:
    """Return whether TensorFlow allows TensorFloat-32; NVIDIA's libraries have a switch of their own."""
    return _call("tensorflow.python.util._pywrap_tensor_float_32_execution", "is_enabled")


def gpu_visible() -> bool | None:
    """Return whether a GPU takes part; None if that is unknown before devices have been listed."""
    build = getattr(sys.modules.get("tensorflow.python.platform.build_info"), "build_info", None)
    if build is None:
        return None
    if not build.get("is_cuda_build") and not build.get("is_rocm_build"):
        return False
    devices = getattr(_context(), "_physical_devices", None)
    return None if devices is None else any(d.device_type == "GPU" for d in devices)


# Attributes of TensorFlow's context that hold the options that a program has set.
_OPTIONS = {
    "intra_op_threads": "_intra_op_parallelism_threads",
    "inter_op_threads": "_inter_op_parallelism_threads",
    "xla_auto_jit": "_optimizer_jit",
    "graph_optimizer": "_optimizer_experimental_options",
}


def option(switch: str) -> Any:
    """Return the value that the program set on TensorFlow's context, None if it set none.

    Args:
        switch: `"intra_op_threads"`, `"inter_op_threads"`, `"xla_auto_jit"` or `"graph_optimizer"`.
    """
    return getattr(_context(), _OPTIONS[switch], None)


def config_module() -> Any:
    """Return the module of TensorFlow with the setters of its options, None if it is not loaded."""
    return sys.modules.get("tensorflow.python.framework.config")


@dataclass(frozen=True)
class Counted:
    """Bounds on the number of threads in a pool: from `least` to `most`."""

    least: int
    most: int


def thread_counts() -> tuple[Counted, Counted] | None:
    """Count the threads that TensorFlow's runtime started, within operations and between them.

    The pools differ in when they were made and in the order: threads within operations first (their name is
    too long for Linux, so they have the process's), then those between (`tf_Compute`), and others with the
    first operation.

    Returns:
        Both counts; None if they cannot be told apart.
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
    """Return the bounds: those that started together at least, all of them at most."""
    # A pool's threads start within microseconds; the ticks (of 10 ms) allow for a busy machine.
    gaps = [abs(b[0] - a[0]) > 5 for a, b in itertools.pairwise(tasks)]
    together = gaps.index(True) + 1 if True in gaps else len(tasks)
    return Counted(max(together - skip, 1), len(tasks) - skip)


def blas_threads() -> int | None:
    """Return the number of threads of NumPy's OpenBLAS; None if OpenBLAS is not loaded."""
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
    """Suppress the lines that TensorFlow's C++ code writes to file descriptor 2."""
    try:
        kept = os.dup(2)
    except OSError:  # standard error is closed
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
    # `context.context()` would make one.
    return getattr(sys.modules.get("tensorflow.python.eager.context"), "_context", None)


def _call(module: str, function: str) -> bool | None:
    ask = getattr(sys.modules.get(module), function, None)
    return None if ask is None else bool(ask())


def _tasks() -> list[tuple[int, int, str]]:
    """Return this process's threads as (start in clock ticks, number, name)."""
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
