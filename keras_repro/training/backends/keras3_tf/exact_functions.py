"""Exact functions in place of those that a CPU only approximates, wherever TensorFlow makes a graph.

    undo = use_exact_functions()        # graphs traced from here on contain exact functions
    undo()

In float32, `Rsqrt`, `Reciprocal`, `Erfc` and some others use instructions (`rsqrtps`, `rcpps`) whose results
differ between CPU models. Here they are computed in float64, where TensorFlow has only correctly rounded
square roots and divisions, and rounded once: the same on every CPU, and more exact. Gradients follow
TensorFlow's own rules, on the exact results.

`Tanh` is exact enough. But the graph optimizer fuses it into the matrix product before it, and oneDNN
computes its own tanh with instructions that differ: an operation that does nothing keeps them apart.

Private names checked with TensorFlow 2.21: `op_def_library._apply_op_helper`, `record`, `ops`. Operations
that run eagerly are left as they are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any

_OPERANDS: dict[str, tuple[str, ...]] = {
    "Rsqrt": ("x",),
    "Reciprocal": ("x",),
    "Inv": ("x",),  # the older name of Reciprocal
    "Erfc": ("x",),
    "Erfinv": ("x",),
    "Ndtri": ("x",),
    "Atan": ("x",),
    "Atan2": ("y", "x"),
    "BesselI0": ("x",),
    "BesselI0e": ("x",),
    "BesselI1": ("x",),
    "BesselI1e": ("x",),
}

REPLACED = tuple(_OPERANDS)
"""Types of the operations that are replaced."""

APART = ("Tanh",)
"""Types of the operations that are not fused with the one before them."""

_NARROW = ("float32", "float16", "bfloat16")

_lock = threading.Lock()
_uses: dict[object, frozenset[str]] = {}
_original: Callable[..., Any] | None = None


def use_exact_functions(names: Collection[str] = (*REPLACED, *APART)) -> Callable[[], None]:
    """Make every graph that is traced from now on with exact functions. Imports TensorFlow.

    Args:
        names: types of operations, out of `REPLACED` and `APART`.

    Returns:
        A function that undoes it. Uses may overlap: the last undo restores TensorFlow's own functions.
    """
    from tensorflow.python.framework import op_def_library

    global _original
    use = object()
    with _lock:
        if not _uses:
            _original = op_def_library._apply_op_helper
            op_def_library._apply_op_helper = _apply
        _uses[use] = frozenset(names)

    def undo() -> None:
        global _original
        with _lock:
            if _uses.pop(use, None) is not None and not _uses:
                op_def_library._apply_op_helper = _original
                _original = None

    return undo


class _ReplacedOperation:
    """What TensorFlow's generated functions read of an operation, for the one that was replaced."""

    def __init__(self, operation: Any, inputs: Any, dtype: Any) -> None:
        self.operation = operation
        self.inputs = inputs
        self._dtype = dtype

    def _get_attr_type(self, name: str) -> Any:
        return self._dtype


def _apply(op_type_name: str, name: str | None = None, **keywords: Any) -> Any:
    """Replace `_apply_op_helper`, through which TensorFlow's generated functions add to a graph."""
    from tensorflow.python.framework import op_def_library

    # A thread may be inside when the last use ends: then the function is TensorFlow's own again.
    apply = _original or op_def_library._apply_op_helper
    if not any(op_type_name in use for use in list(_uses.values())):
        return apply(op_type_name, name, **keywords)
    if op_type_name in APART:
        return _apart(apply, op_type_name, name, **keywords)
    from tensorflow.python.eager import record
    from tensorflow.python.framework import dtypes, ops

    operands = [ops.convert_to_tensor(keywords[n]) for n in _OPERANDS[op_type_name]]
    dtype = operands[0].dtype
    if dtype.name not in _NARROW:
        return apply(op_type_name, name, **keywords)
    # The caller records the gradient of the whole function.
    with ops.name_scope(name or op_type_name), record.stop_recording():
        casts = [_cast(apply, "Wide", x, dtypes.float64) for x in operands]
        wide = {n: c.outputs[0] for n, c in zip(_OPERANDS[op_type_name], casts, strict=True)}
        structure, stateful, _, (y,) = apply(op_type_name, "Exact", **wide)
        narrow = _cast(apply, "Narrow", y, dtype)
    # The inputs in this graph: an outer operand becomes a placeholder.
    inputs = [c.inputs[0] for c in casts]
    return structure, stateful, _ReplacedOperation(narrow, inputs, dtype), list(narrow.outputs)


def _apart(apply: Callable[..., Any], op_type_name: str, name: str | None, *, x: Any) -> Any:
    """Add the operation after one that does nothing, which stops the graph optimizer from fusing."""
    from tensorflow.python.eager import record
    from tensorflow.python.framework import ops, tensor_shape

    x = ops.convert_to_tensor(x)
    if x.shape.rank is None:
        return apply(op_type_name, name, x=x)
    with ops.name_scope(name or op_type_name), record.stop_recording():
        shape = tensor_shape.unknown_shape(x.shape.rank)
        apart = apply("EnsureShape", "Apart", input=x, shape=shape)[2]
        structure, stateful, made, outputs = apply(op_type_name, op_type_name, x=apart.outputs[0])
    return structure, stateful, _ReplacedOperation(made, [apart.inputs[0]], apart.outputs[0].dtype), outputs


def _cast(apply: Callable[..., Any], name: str, x: Any, dtype: Any) -> Any:
    return apply("Cast", name, x=x, DstT=dtype, Truncate=False)[2]
