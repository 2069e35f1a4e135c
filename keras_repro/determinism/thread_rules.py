"""The operations that give the same bits with another number of threads, for their shapes.

    >>> invariant_thread_counts("MatMul", [(16, 20), (20, 32)], (16, 32))
    (1, 2, 3, 4, 8, 16)
    >>> invariant_thread_counts("BatchMatMulV2", [(8, 4, 4), (8, 4, 4)], (8, 4, 4))
    (1, 2, 4, 8)
    >>> invariant_thread_counts("Conv2DBackpropFilter", [(8, 9, 9, 3), (4,), (8, 9, 9, 4)], (3, 3, 3, 4))
    (1,)

The rules follow from `tests/portable/probe.py` with 1, 2, 3, 4, 8 and 16 threads (TensorFlow 2.21, oneDNN
capped at AVX2). Their limits are far below the smallest shapes with different results. An operation without
a rule counts as dependent on the threads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from keras_repro.determinism.operation_catalogue import MOVING, names

COUNTS = (1, 2, 3, 4, 8, 16)
"""The thread counts that were tested; a result that is the same at all of them counts as invariant."""

Shape = tuple[int | None, ...] | None
"""The shape of a tensor; None for an unknown dimension or shape."""

ALWAYS = names(
    """
    Acos Acosh Add AddN AddV2 Asin Asinh AssignAddVariableOp AssignSubVariableOp Atan Atan2 Atanh
    AvgPool AvgPoolGrad BesselI0 BesselI0e BesselI1 BesselI1e BiasAdd Ceil Cos Cosh Cumsum Digamma Div
    DivNoNan Elu EluGrad Erf Erfc Erfinv Exp Expm1 Floor FloorDiv Igamma Inv InvGrad LeakyRelu
    LeakyReluGrad Lgamma Log Log1p LogSoftmax MaxPool MaxPool3D MaxPool3DGrad MaxPoolGrad Mod Mul
    MulNoNan Ndtri Pow RealDiv Reciprocal ReciprocalGrad Rint Round Rsqrt RsqrtGrad Selu SeluGrad
    Sigmoid SigmoidGrad Sin Sinh Softmax SoftmaxCrossEntropyWithLogits Softplus SoftplusGrad Softsign
    SoftsignGrad SparseSoftmaxCrossEntropyWithLogits Sqrt SqrtGrad Square SquaredDifference
    StatelessRandomNormalV2 StatelessRandomUniformV2 StatelessTruncatedNormalV2 Sub Tan Tanh TanhGrad
    TruncateDiv UnsortedSegmentSum Xdivy Xlog1py Xlogy Zeta
    """
)
"""Types that gave the same bits at every tested thread count and shape."""

# Results differed from 60,000 numbers on for products in float64, from 200,000 on for sums.
_LONGEST_SUM = 1 << 15
# Results were the same with 18,432 numbers, and differed with 160,000.
_LARGEST_BIAS_GRADIENT = 1 << 14
# Multiplications. Of about 300 shapes, the smallest with a difference has 1.5 million.
_LARGEST_PRODUCT = 1 << 19
_LARGEST_OF_A_BATCH = 1 << 20

_SUMS = ("Sum", "Mean", "Prod", "L2Loss")
_BATCHED = ("BatchMatMul", "BatchMatMulV2")
_PRODUCTS = ("MatMul", "_FusedMatMul")


def needs_shapes(operation: str) -> bool:
    """Return whether the rule of an operation depends on its shapes."""
    return operation in (*_SUMS, *_BATCHED, *_PRODUCTS, "BiasAddGrad")


def is_the_same_always(operation: str) -> bool:
    """Return whether an operation gives the same bits with any number of threads, for all shapes."""
    return operation in MOVING or operation in ALWAYS


def invariant_thread_counts(
    operation: str,
    inputs: Sequence[Shape],
    output: Shape,
    *,
    samples: int | None = None,
    last: int | None = None,
) -> tuple[int, ...]:
    """Return the thread counts, of `COUNTS`, known to give an operation the bits of one thread.

    Args:
        operation: its type.
        inputs: the shapes of its operands.
        output: the shape of its first result.
        samples: number of samples in the batch of these shapes; None if it does not matter.
        last: number of samples in a smaller last batch, which must give the same bits too.
    """
    if is_the_same_always(operation):
        return COUNTS
    if operation in _BATCHED:
        return _of_batches(inputs, output, samples, last)
    return COUNTS if _is_small(operation, inputs, output) else (1,)


def _is_small(operation: str, inputs: Sequence[Shape], output: Shape) -> bool:
    size, made = _size(inputs[0] if inputs else None), _size(output)
    if operation in _SUMS:
        # One thread computes each number of the result; only a single number is split.
        return (made is not None and made > 1) or (size is not None and size <= _LONGEST_SUM)
    if operation == "BiasAddGrad":
        return size is not None and size <= _LARGEST_BIAS_GRADIENT
    if operation in _PRODUCTS:
        multiplications = _multiplications(inputs, output)
        return multiplications is not None and multiplications <= _LARGEST_PRODUCT
    return False


def _of_batches(
    inputs: Sequence[Shape], output: Shape, samples: int | None, last: int | None
) -> tuple[int, ...]:
    """Return the counts at which each thread computes the same number of whole products of a batch."""
    multiplications = _multiplications(inputs, output)
    if output is None or multiplications is None:
        return (1,)
    count = _size(output[:-2]) or 0
    if not count:
        return COUNTS  # nothing is multiplied
    if multiplications > count * _LARGEST_OF_A_BATCH:
        return (1,)
    if not last:
        return tuple(n for n in COUNTS if count % n == 0)
    if not samples or count % samples:
        return (1,)  # the number of products in the last batch is unknown
    return tuple(n for n in COUNTS if count % n == 0 and count // samples * last % n == 0)


def _multiplications(inputs: Sequence[Shape], output: Shape) -> int | None:
    """Return the number of multiplications in a matrix product.

    The sizes of both operands and of the result multiply to the square of that number.
    """
    sizes = [_size(s[-2:]) if s is not None else None for s in (*inputs[:2], output)]
    total = _size(output)
    if any(s is None for s in sizes) or total is None or output is None:
        return None
    of_one_product = math.isqrt(math.prod(s for s in sizes if s is not None))
    return of_one_product * (_size(output[:-2]) or 0)


def _size(shape: Shape) -> int | None:
    """Return the number of elements of a tensor, None if unknown."""
    if shape is None or any(n is None for n in shape):
        return None
    return math.prod(n for n in shape if n is not None)
