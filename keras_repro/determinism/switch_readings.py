"""The effective value of each switch, read from the interpreter and from the loaded TensorFlow.

    >>> EFFECTIVE_VALUES["hash_seed"]() is not None
    True

None means "not yet": TensorFlow is not loaded, or its runtime has not started. `UNKNOWN` means that nothing
proves a value, `NO_GPU` that the switch has no effect here. Nothing is imported, started or set.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from keras_repro.determinism import tf_runtime
from keras_repro.determinism.hash_seed import effective_hash_seed
from keras_repro.determinism.tf_runtime import UNKNOWN, Stage

NO_GPU = "no GPU"
AUTO_JIT_FLAG = "--tf_xla_auto_jit="
CPU_JIT_FLAG = "--tf_xla_cpu_global_jit"

# oneDNN ignores any other text silently (x86 and AArch64; in upper or lower case).
_ISAS = (
    "SSE41",
    "AVX",
    "AVX2",
    "AVX2_VNNI",
    "AVX2_VNNI_2",
    "AVX512_CORE",
    "AVX512_CORE_VNNI",
    "AVX512_CORE_BF16",
    "AVX512_CORE_FP16",
    "AVX512_CORE_AMX",
    "AVX512_CORE_AMX_FP16",
    "AVX10_1_512",
    "AVX10_1_512_AMX",
    "AVX10_1_512_AMX_FP16",
    "ASIMD",
    "SVE_128",
    "SVE_256",
    "SVE_512",
)


def auto_jit_level(flags: object) -> int:
    """Return the level in `TF_XLA_FLAGS`: above 0 is on, below 0 is off, 0 leaves it to the program."""
    words = str(flags or "").split()
    levels = [w.removeprefix(AUTO_JIT_FLAG) for w in words if w.startswith(AUTO_JIT_FLAG)]
    try:
        return int(levels[-1]) if levels else 0
    except ValueError:
        return 1  # the other forms, "single-gpu(N)" and "fusible", turn it on


def _hash_seed() -> Any:
    start = tf_runtime.start_environment() or {}
    seed = effective_hash_seed([os.environ.get("PYTHONHASHSEED"), start.get("PYTHONHASHSEED")])
    return UNKNOWN if seed is None else seed


def _intra_op_threads() -> Any:
    return _threads("TF_NUM_INTRAOP_THREADS", "intra_op_threads", 0)


def _inter_op_threads() -> Any:
    return _threads("TF_NUM_INTEROP_THREADS", "inter_op_threads", 1)


def _threads(variable: str, option: str, position: int) -> Any:
    """Return what the program, the variable or the CPUs request, unless the counted threads contradict."""
    if not tf_runtime.tensorflow_started():
        return None
    requested = tf_runtime.option(option) or tf_runtime.settled(variable, Stage.STARTED)
    numbers = [_number(v) for v in (requested, os.environ.get(variable))]
    counts = tf_runtime.thread_counts()
    if counts is None:
        return UNKNOWN if requested is UNKNOWN else numbers[0] or tf_runtime.cpu_count()
    counted = counts[position]
    if requested is not UNKNOWN and numbers[0]:
        # Another library may have started one more thread.
        fits = counted.least - 1 <= numbers[0] <= counted.most
        return numbers[0] if fits else UNKNOWN
    if counted.least in (*numbers, tf_runtime.cpu_count()) or counted.least == counted.most:
        return counted.least
    return UNKNOWN


def _number(value: object) -> int:
    """Return a thread count as TensorFlow reads it: 0, its default, for any other text."""
    try:
        return max(0, int(str(value or 0)))
    except ValueError:
        return 0


def _onednn_isa() -> Any:
    if not tf_runtime.tensorflow_started():
        return None
    text = tf_runtime.settled("ONEDNN_MAX_CPU_ISA", Stage.STARTED)
    if isinstance(text, str):
        text = text.upper()
    return text if text is UNKNOWN or text in _ISAS else "the CPU's"


def _xla_auto_jit() -> Any:
    if tf_runtime.stage() < Stage.LISTED:
        return None
    flags = tf_runtime.settled("TF_XLA_FLAGS", Stage.LISTED)
    if flags is UNKNOWN:
        return UNKNOWN
    level = auto_jit_level(flags)
    wanted = level > 0 or (level == 0 and bool(tf_runtime.option("xla_auto_jit")))
    on_cpu = CPU_JIT_FLAG in str(flags or "").split()
    return wanted and (on_cpu or tf_runtime.gpu_visible() is not False)


def _graph_optimizer() -> Any:
    if not tf_runtime.tensorflow_imported():
        return None
    return dict(tf_runtime.option("graph_optimizer") or {})


def _on_gpu(read: Callable[[], Any]) -> Callable[[], Any]:
    def effective() -> Any:
        if tf_runtime.gpu_visible() is False:
            return NO_GPU
        return read() if tf_runtime.tensorflow_started() else None

    return effective


def _tf32() -> Any:
    text = tf_runtime.settled("NVIDIA_TF32_OVERRIDE", Stage.STARTED)
    if text is UNKNOWN or text == "0":
        return False if text == "0" else UNKNOWN
    return tf_runtime.tf32_enabled()


def _cudnn_deterministic() -> Any:
    text = tf_runtime.settled("TF_CUDNN_DETERMINISTIC", Stage.STARTED)
    if tf_runtime.op_determinism_enabled():
        return True
    return text if text is UNKNOWN else str(text).lower() in ("1", "true")


def _cudnn_autotune() -> Any:
    text = tf_runtime.settled("TF_CUDNN_USE_AUTOTUNE", Stage.STARTED)
    return text if text is UNKNOWN else str(text).lower() not in ("0", "false")


def _cublas_workspace() -> Any:
    text = tf_runtime.settled("CUBLAS_WORKSPACE_CONFIG", Stage.STARTED)
    return text if text is UNKNOWN else text or "cuBLAS's own"


EFFECTIVE_VALUES: dict[str, Callable[[], Any]] = {
    "hash_seed": _hash_seed,
    "op_determinism": tf_runtime.op_determinism_enabled,
    "intra_op_threads": _intra_op_threads,
    "inter_op_threads": _inter_op_threads,
    "blas_threads": tf_runtime.blas_threads,
    "onednn": tf_runtime.onednn_enabled,
    "onednn_isa": _onednn_isa,
    "xla_auto_jit": _xla_auto_jit,
    "graph_optimizer": _graph_optimizer,
    "tf32": _on_gpu(_tf32),
    "cudnn_deterministic": _on_gpu(_cudnn_deterministic),
    "cudnn_autotune": _on_gpu(_cudnn_autotune),
    "cublas_workspace": _on_gpu(_cublas_workspace),
}
"""A function for each switch that returns its effective value."""
