"""The table of all switches, and what is read of one.

>>> reading = Reading("onednn", requested=True, achieved=True, ok=True)
>>> reading.to_dict()["achieved"]
True
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

When = Literal[
    "before Python starts",
    "before NumPy is imported",
    "before TensorFlow is imported",
    "before TensorFlow lists its devices",
    "before TensorFlow's runtime starts",
    "before the model is built",
]


@dataclass(frozen=True)
class Switch:
    """One control over randomness.

    Attributes:
        name: its name in the API and in ledgers.
        what: its effect, for people.
        variable: the environment variable that sets it, empty if there is none.
        when: the last moment at which it can be set.
    """

    name: str
    what: str
    variable: str
    when: When


@dataclass(frozen=True)
class Reading:
    """One switch as it is in this process.

    Attributes:
        name: the switch's name.
        requested: the requested value, None if there is none.
        achieved: the effective value; None if it is not known (yet), `"no GPU"` if the switch has no effect.
        ok: whether the request is in effect; None if there is no request, or if that is not known.
        fix: the line or command that sets it, empty if nothing has to be done.
    """

    name: str
    requested: Any = None
    achieved: Any = None
    ok: bool | None = None
    fix: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the reading as in a ledger's header."""
        return asdict(self)


SWITCHES = (
    Switch(
        "hash_seed",
        "Python's hashes of text, and with them the order of sets",
        "PYTHONHASHSEED",
        "before Python starts",
    ),
    Switch(
        "op_determinism",
        "operations that give the same result each time",
        "TF_DETERMINISTIC_OPS",
        "before the model is built",
    ),
    Switch(
        "intra_op_threads",
        "threads within an operation: how its sums are split",
        "TF_NUM_INTRAOP_THREADS",
        "before TensorFlow's runtime starts",
    ),
    Switch(
        "inter_op_threads",
        "operations that run side by side",
        "TF_NUM_INTEROP_THREADS",
        "before TensorFlow's runtime starts",
    ),
    Switch(
        "blas_threads",
        "threads of NumPy's matrix products",
        "OPENBLAS_NUM_THREADS",
        "before NumPy is imported",
    ),
    Switch(
        "onednn",
        "oneDNN's kernels in place of Eigen's",
        "TF_ENABLE_ONEDNN_OPTS",
        "before TensorFlow is imported",
    ),
    Switch(
        "onednn_isa",
        "the newest CPU instructions that oneDNN may use",
        "ONEDNN_MAX_CPU_ISA",
        "before TensorFlow's runtime starts",
    ),
    Switch(
        "xla_auto_jit",
        "XLA compiling graphs unasked (not a model's own jit_compile)",
        "TF_XLA_FLAGS",
        "before TensorFlow lists its devices",
    ),
    # Without constant folding and arithmetic optimization, a small CNN got other weights.
    Switch(
        "graph_optimizer",
        "options of the graph optimizer that the program changed",
        "",
        "before the model is built",
    ),
    Switch(
        "tf32",
        "TensorFloat-32: GPU products with short mantissas",
        "NVIDIA_TF32_OVERRIDE",
        "before TensorFlow's runtime starts",
    ),
    Switch(
        "cudnn_deterministic",
        "only deterministic algorithms of cuDNN",
        "TF_CUDNN_DETERMINISTIC",
        "before TensorFlow's runtime starts",
    ),
    Switch(
        "cudnn_autotune",
        "cuDNN's algorithms chosen by timing them",
        "TF_CUDNN_USE_AUTOTUNE",
        "before TensorFlow's runtime starts",
    ),
    Switch(
        "cublas_workspace",
        "cuBLAS's work memory: of fixed size, one order of sums",
        "CUBLAS_WORKSPACE_CONFIG",
        "before TensorFlow's runtime starts",
    ),
)
"""All switches, in the order of the output."""

BY_NAME = {s.name: s for s in SWITCHES}
BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""The variables of OpenBLAS, OpenMP and MKL, all of which `blas_threads` sets."""
