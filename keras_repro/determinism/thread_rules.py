"""Which operations give the same bits with another number of threads, at the shapes that they work on.

    >>> invariant_thread_counts("MatMul", [(16, 20), (20, 32)], (16, 32))
    (1, 2, 3, 4, 8, 16)
    >>> invariant_thread_counts("BatchMatMulV2", [(8, 4, 4), (8, 4, 4)], (8, 4, 4))
    (1, 2, 4, 8)
    >>> invariant_thread_counts("Conv2DBackpropFilter", [(8, 9, 9, 3), (4,), (8, 9, 9, 4)], (3, 3, 3, 4))
    (1,)

The rules are drawn from `tests/portable/probe.py` with 1, 2, 3, 4, 8 and 16 threads (TensorFlow 2.21, oneDNN
capped at AVX2), and stay well below the shapes from which on results differed. What has no rule is taken to
depend on the threads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from keras_repro.determinism.operation_catalogue import MOVING, names

COUNTS = (1, 2, 3, 4, 8, 16)
"""The numbers of threads that were tried; what is the same at all of them is taken to be so at any."""

Shape = tuple[int | None, ...] | None
"""Of a tensor; None for a dimension, or for all of it, where it is not known."""

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
"""Types that came out the same with any of them at every shape that was tried."""

# Differed from 60,000 numbers on, for products in float64; from 200,000 on for sums.
_LONGEST_SUM = 1 << 15
# The same with 18,432; differed with 160,000.
_LARGEST_BIAS_GRADIENT = 1 << 14
# Multiplications. Of some 300 shapes, the smallest that differed has 1.5 million.
_LARGEST_PRODUCT = 1 << 19
_LARGEST_OF_A_BATCH = 1 << 20

_SUMS = ("Sum", "Mean", "Prod", "L2Loss")
_BATCHED = ("BatchMatMul", "BatchMatMulV2")
_PRODUCTS = ("MatMul", "_FusedMatMul")


def needs_shapes(operation: str) -> bool:
    """Whether it depends on the shapes if the operation is the same with another number of threads."""
    return operation in (*_SUMS, *_BATCHED, *_PRODUCTS, "BiasAddGrad")


def is_the_same_always(operation: str) -> bool:
    """Whether the operation is the same with any number of threads, whatever its shapes."""
    return operation in MOVING or operation in ALWAYS


def invariant_thread_counts(
    operation: str,
    inputs: Sequence[Shape],
    output: Shape,
    *,
    samples: int | None = None,
    last: int | None = None,
) -> tuple[int, ...]:
    """The numbers of threads, of `COUNTS`, at which an operation is known to give the bits of one thread.

    Args:
        operation: its type.
        inputs: the shapes of its operands.
        output: the shape of its first result.
        samples: how many samples the shapes are for.
        last: how many there are in a last, smaller batch, which must give the same bits too.
    """
    if is_the_same_always(operation):
        return COUNTS
    if operation in _BATCHED:
        return _of_batches(inputs, output, samples, last)
    return COUNTS if _is_small(operation, inputs, output) else (1,)


def _is_small(operation: str, inputs: Sequence[Shape], output: Shape) -> bool:
    size, made = _size(inputs[0] if inputs else None), _size(output)
    if operation in _SUMS:
        # Each number of the result is summed by one thread; only where there is one are parts of it.
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
    """Threads share out the products of a batch: the same where each has as many of them, whole."""
    multiplications = _multiplications(inputs, output)
    if output is None or multiplications is None:
        return (1,)
    count = _size(output[:-2]) or 0
    if not count:
        return COUNTS  # there is nothing to multiply
    if multiplications > count * _LARGEST_OF_A_BATCH:
        return (1,)
    if not last:
        return tuple(n for n in COUNTS if count % n == 0)
    if not samples or count % samples:
        return (1,)  # who knows how many there are in the last batch
    return tuple(n for n in COUNTS if count % n == 0 and count // samples * last % n == 0)


def _multiplications(inputs: Sequence[Shape], output: Shape) -> int | None:
    """How many there are in a product of matrices: the sizes of all three are the product's, twice each."""
    sizes = [_size(s[-2:]) if s is not None else None for s in (*inputs[:2], output)]
    total = _size(output)
    if any(s is None for s in sizes) or total is None or output is None:
        return None
    one = math.isqrt(math.prod(s for s in sizes if s is not None))
    return one * (_size(output[:-2]) or 0)


def _size(shape: Shape) -> int | None:
    """How many numbers there are in a tensor; None where that is not known."""
    if shape is None or any(n is None for n in shape):
        return None
    return math.prod(n for n in shape if n is not None)
