"""The environment of a run, from a table of gatherers: each is cheap, and none can fail a run.

    >>> sorted(gather())
    ['cpu', 'git', 'gpu', 'memory_bytes', 'os', 'packages', 'python', 'variables']

Ledgers are published: variables are recorded by allow-list; paths of the machine, names of people and of
hosts are not recorded. Nothing here imports TensorFlow or starts a device.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from keras_repro.provenance.redaction import redact_value

# Variables that change bits or speed. By name: a prefix would include unchecked ones.
VARIABLES = (
    "PYTHONHASHSEED",
    "PYTHONOPTIMIZE",
    "PYTHONUTF8",
    "KERAS_BACKEND",
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    "KERAS_NNX_ENABLED",
    "TF_USE_LEGACY_KERAS",
    "TF_DETERMINISTIC_OPS",
    "TF_DETERMINISTIC_ORDER",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "TF_OVERRIDE_GLOBAL_THREADPOOL",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_ENABLE_ONEDNN_SPMM",
    "TF_ENABLE_ZENDNN_OPTS",
    "TF_ONEDNN_ASSUME_FROZEN_WEIGHTS",
    "TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD",
    "TF_SET_ONEDNN_FPMATH_MODE",
    "TF_USE_DEEP_CONV2D",
    "TF_CONV2D_USE_FP16_ACCUMULATE",
    "TF_FP16_MATMUL_USE_FP32_COMPUTE",
    "TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_LEVEL",
    "TF_ENABLE_AUTO_MIXED_PRECISION",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
    "TF_CUDNN_DETERMINISTIC",
    "TF_CUDNN_USE_AUTOTUNE",
    "TF_CUDNN_RNN_USE_AUTOTUNE",
    "TF_CUDNN_USE_FRONTEND",
    "TF_CUDNN_DISABLE_CONV_1X1_OPTIMIZATION",
    "TF_MATMUL_AUTOTUNE_ENABLE",
    "TF_USE_CUBLASLT",
    "TF_GPU_ALLOCATOR",
    "TF_GPU_THREAD_COUNT",
    "TF_GPU_THREAD_MODE",
    "TF_FORCE_GPU_ALLOW_GROWTH",
    "ONEDNN_MAX_CPU_ISA",
    "ONEDNN_CPU_ISA_HINTS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "DNNL_DEFAULT_FPMATH_MODE",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "CUDA_LAUNCH_BLOCKING",
    "NVIDIA_TF32_OVERRIDE",
    "CUBLAS_WORKSPACE_CONFIG",
    "OMP_NUM_THREADS",
    "OMP_DYNAMIC",
    "OMP_PROC_BIND",
    "OMP_PLACES",
    "OMP_SCHEDULE",
    "KMP_AFFINITY",
    "KMP_BLOCKTIME",
    "KMP_DETERMINISTIC_REDUCTION",
    "KMP_SETTINGS",
    "MKL_NUM_THREADS",
    "MKL_CBWR",
    "MKL_DYNAMIC",
    "OPENBLAS_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NPY_DISABLE_CPU_FEATURES",
    "LANG",
    "LC_ALL",
    "LC_COLLATE",
    "LC_CTYPE",
    "LC_NUMERIC",
    "LC_TIME",
    "TZ",
)

# Instruction sets by which numerical libraries choose their kernels.
_CPU_FLAG = re.compile(
    r"sse4_[12]|ssse3|f16c|fma|avx\w*|amx\w*|neon|asimd\w*|sve\w*|sme\d?|bf16|i8mm|vsx|vector"
)
_SECONDS = 5.0


def gather(folder: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Gather the facts in JSON form; a fact that is not available is None.

    Args:
        folder: its git commit is recorded; the working folder by default.
    """
    gatherers: dict[str, Callable[[], Any]] = {
        "python": _python,
        "packages": _packages,
        "cpu": _cpu,
        "memory_bytes": _memory_bytes,
        "gpu": _gpu,
        "os": _os,
        "git": partial(_git, folder or "."),
        "variables": _variables,
    }
    return {name: _attempt(gatherer) for name, gatherer in gatherers.items()}


def _attempt(gatherer: Callable[[], Any]) -> Any:
    # A missing fact must never stop a training.
    try:
        return gatherer()
    except Exception:
        return None


def _python() -> dict[str, Any]:
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "build": " ".join(platform.python_build()),
        "compiler": platform.python_compiler(),
        "optimize": sys.flags.optimize,
    }


def _packages() -> dict[str, str]:
    from importlib.metadata import distributions

    versions: dict[str, str] = {}
    for distribution in distributions():
        name, version = _attempt(partial(_name_and_version, distribution)) or ("", "")
        if name and version:
            # Python imports the first on the path.
            versions.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return dict(sorted(versions.items()))


def _name_and_version(distribution: Any) -> tuple[str, str]:
    """Read only two lines: parsing hundreds of whole files would take most of a second."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    head = text.partition("\n\n")[0]
    lines = dict(re.findall(r"^(Name|Version):[ \t]*(\S+)[ \t]*$", head, re.MULTILINE))
    return lines.get("Name", ""), lines.get("Version", "")


def _cpu() -> dict[str, Any]:
    facts = _cpu_facts()
    flags = facts.get("flags") or facts.get("Features") or ""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:
        available = os.cpu_count() or 1
    numbers = (facts.get(k) for k in ("cpu family", "model", "stepping"))
    return {
        "model": facts.get("model name") or facts.get("CPU part") or platform.processor() or None,
        "vendor": facts.get("vendor_id") or facts.get("CPU implementer"),
        # Virtual machines often hide the model's name, but not its numbers.
        "family_model_stepping": "-".join(n for n in numbers if n) or None,
        "flags": sorted(f for f in set(flags.split()) if _CPU_FLAG.fullmatch(f)),
        "logical": os.cpu_count(),
        "available": available,
    }


def _cpu_facts() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gpu() -> list[dict[str, Any]] | None:
    driver = Path("/proc/driver/nvidia/version").exists() or sys.platform == "win32"
    program = shutil.which("nvidia-smi")
    if not driver:
        return []
    if program is None:
        return None
    query = "--query-gpu=name,driver_version,memory.total,compute_cap"
    gpus = []
    for line in _output([program, query, "--format=csv,noheader,nounits"]).splitlines():
        model, driver_version, mebibytes, capability = (part.strip() for part in line.split(","))
        gpus.append(
            {
                "model": model,
                "driver": driver_version,
                "memory_bytes": int(mebibytes) << 20 if mebibytes.isdecimal() else None,
                "compute_capability": capability,
            }
        )
    return gpus


def _os() -> dict[str, Any]:
    facts: dict[str, Any] = {
        "system": platform.system(),
        "release": platform.release(),
        "version": platform.mac_ver()[0] or None,
        "machine": platform.machine(),
        "libc": " ".join(filter(None, platform.libc_ver())) or None,
    }
    if facts["system"] == "Linux":
        release = _attempt(platform.freedesktop_os_release) or {}
        facts["version"] = release.get("PRETTY_NAME")
    return facts


def _git(folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    program = shutil.which("git")
    if program is None:
        return None
    # Take no lock that another git could meet; run no program from the folder's configuration.
    options = ["-C", os.fspath(folder), "-c", "core.fsmonitor=false", "-c", "core.pager=cat"]
    status = ["status", "--porcelain=v2", "--branch", "--untracked-files=no", "-z"]
    lines = _output([program, *options, *status]).split("\0")
    heads = [line.split()[-1] for line in lines if line.startswith("# branch.oid ")]
    dirty = any(line and not line.startswith("#") for line in lines)
    commit = heads[0] if heads and re.fullmatch(r"[0-9a-f]{40,64}", heads[0]) else None
    return {"commit": commit, "dirty": dirty}


def _output(command: Sequence[str]) -> str:
    """Return the output of a command; raise if it fails or takes too long."""
    inherited = {n: v for n, v in os.environ.items() if not n.startswith("GIT_")}
    return subprocess.run(
        command,
        env=inherited | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=_SECONDS,
        check=True,
    ).stdout.decode(errors="replace")


def _variables() -> dict[str, str]:
    return {n: redact_value(n, os.environ[n]) for n in VARIABLES if n in os.environ}
