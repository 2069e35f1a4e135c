"""The surroundings of a run, and which of a script's arguments may be published.

    >>> sorted(gather())
    ['cpu', 'git', 'gpu', 'memory_bytes', 'os', 'packages', 'python', 'variables']
    >>> public_arguments(["--epochs", "5", "--api-key=abc"])
    (['--epochs', '5', '--api-key=<hidden>'], 1)

Ledgers are published: variables and arguments come in by allow-list, paths of the machine, names of
people and hosts not at all. Nothing here imports TensorFlow or starts a device.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

HIDDEN = "<hidden>"

# What changes bits or speed, by name: a prefix would let in what nobody has looked at.
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

# The instructions among which numerical libraries choose their kernels.
_CPU_FLAG = re.compile(
    r"sse4_[12]|ssse3|f16c|fma|avx\w*|amx\w*|neon|asimd\w*|sve\w*|sme\d?|bf16|i8mm|vsx|vector"
)
_SECONDS = 5.0


def gather(folder: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Gathers the facts, JSON-able; what cannot be had is None.

    Args:
        folder: whose git commit is recorded; default: the working folder.
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


def public_arguments(arguments: Sequence[str]) -> tuple[list[str], int]:
    """A script's arguments as they may be published.

    Shown are the names of options, numbers, `true`, `false`, `none`, short lower-case words and
    files below the working folder; never what follows an option that may hold a secret or a
    person's name.

    Returns:
        The arguments, `"<hidden>"` in place of the others, and the number of those.
    """
    shown: list[str] = []
    hidden = 0
    # After an option that may hold a secret: everything up to the next option, and at least one.
    secret = just_named = False
    for argument in map(str, arguments):
        name, equals, value = argument.partition("=")
        text = argument
        if _OPTION.fullmatch(name):
            secret = bool(_SECRET.search(name))
            if just_named:
                text = HIDDEN
            elif equals and (secret or not _is_public(value)):
                text = f"{name}={HIDDEN}"
            just_named = secret and not equals
            secret = just_named
        else:
            if secret or not (_is_public(argument) or argument == "--"):
                text = HIDDEN
            just_named = False
        hidden += text != argument
        shown.append(text)
    return shown, hidden


_OPTION = re.compile(r"-[A-Za-z]|(?=.{3,40}\Z)--[A-Za-z][A-Za-z0-9]*(?:[-_.][A-Za-z0-9]+)*")
_SECRET = re.compile(
    r"key|token|secret|pass|pwd|auth|cred|private|cert|session|cookie|bearer|signature|salt|jwt|"
    r"user|login|account|mail|host|server|url|uri|dsn|webhook|header|owner|person|patient",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[+-]?(?:\d{1,12}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][+-]?\d{1,3})?")
_WORD = re.compile(r"true|false|none|True|False|None|TRUE|FALSE|NONE|[a-z][a-z_-]{0,15}")
_PATH = re.compile(r"(?!.*(?:^|/)\.\.(?:/|$))[\w][\w.+@ -]*(?:/[\w.+@ -]+)*")


def _is_public(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text) or _WORD.fullmatch(text)) or _is_own_file(text)


def _is_own_file(text: str) -> bool:
    """Whether it names something below the working folder, and nobody by their home folder."""
    if not _PATH.fullmatch(text) or Path.home().name in Path(text).parts:
        return False
    try:
        return Path(text).exists()
    except OSError:
        return False


def _attempt(gatherer: Callable[[], Any]) -> Any:
    # A fact that is missing must never cost a training.
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

    found: dict[str, str] = {}
    for distribution in distributions():
        name, version = _attempt(partial(_name_and_version, distribution)) or ("", "")
        if name and version:
            # The first on the path is the one that is imported.
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return dict(sorted(found.items()))


def _name_and_version(distribution: Any) -> tuple[str, str]:
    """The two lines alone: parsing hundreds of whole files would take most of a second."""
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
        # Virtual machines often hide the model's name, not its numbers.
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
    # No lock that a git beside it would meet, and no program that the folder's configuration names.
    options = ["-C", os.fspath(folder), "-c", "core.fsmonitor=false", "-c", "core.pager=cat"]
    status = ["status", "--porcelain=v2", "--branch", "--untracked-files=no", "-z"]
    lines = _output([program, *options, *status]).split("\0")
    heads = [line.split()[-1] for line in lines if line.startswith("# branch.oid ")]
    dirty = any(line and not line.startswith("#") for line in lines)
    commit = heads[0] if heads and re.fullmatch(r"[0-9a-f]{40,64}", heads[0]) else None
    return {"commit": commit, "dirty": dirty}


def _output(command: Sequence[str]) -> str:
    """What a command prints; raises where it fails or takes too long."""
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


def _variables(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    environment = os.environ if environment is None else environment
    return {n: _public_value(n, environment[n]) for n in VARIABLES if n in environment}


_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,2}")
_SETTING = re.compile(r"(-{0,2}[A-Za-z][\w.-]{0,79}=)?([\w.,:+*(){}@-]{0,32})")


def _public_value(name: str, value: str) -> str:
    """A variable's value without what looks like a path or an identifier."""
    if name == "TZ":
        return value if _ZONE.fullmatch(value) else HIDDEN
    return " ".join(_public_setting(word) for word in value.split())


def _public_setting(word: str) -> str:
    if _SETTING.fullmatch(word) or re.fullmatch(r"--[A-Za-z][\w-]{0,79}", word):
        return word
    name, equals, _ = word.partition("=")
    known = equals and re.fullmatch(r"-{0,2}[A-Za-z][\w.-]{0,79}", name)
    return f"{name}={HIDDEN}" if known else HIDDEN
