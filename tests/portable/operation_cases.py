"""Single operations with values, for `probe.py`: the cases of each type on the list of operations.

    for case in cases():
        case.operation, case.text, case.function, case.operands

Elementwise functions are tried on 20,000 values (random bits with infinities and denormals, a narrow and a
wide interval, the positive numbers), the others on several shapes. `thorough` adds the shapes from which the
rules over threads were drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_repro.determinism.operation_catalogue import FUSED_WITH

R = tf.raw_ops
_COUNT = 20_003


@dataclass(frozen=True)
class Case:
    """An operation with its operands.

    Attributes:
        operation: its type.
        text: the case in words, without the type.
        function: takes the operands as tensors.
        operands: arrays.
    """

    operation: str
    text: str
    function: Callable[..., Any]
    operands: tuple[Any, ...]


def cases(*, thorough: bool = False) -> Iterator[Case]:
    """Yield all cases, always with the same values.

    Args:
        thorough: many more shapes, for the rules over threads.
    """
    draw = _Draw()
    yield from _elementwise(draw)
    yield from _of_two(draw)
    yield from _of_gradients(draw)
    yield from _reductions(draw)
    yield from _products(draw, thorough)
    yield from _convolutions(draw, thorough)
    yield from _pools(draw)
    yield from _fused(draw)
    yield from _others(draw)


class _Draw:
    """Values from whole numbers and exact divisions: the same on every CPU."""

    def __init__(self) -> None:
        self._bits = np.random.Generator(np.random.PCG64(5))

    def uniform(self, *shape: int) -> np.ndarray:
        """float32 in [-1, 1)."""
        return self._bits.integers(0, 2**24, shape).astype(np.float32) / np.float32(2**23) - np.float32(1)

    def wild(self, count: int) -> np.ndarray:
        """Any float32 but NaN."""
        values = self._bits.integers(0, 2**32, count, dtype=np.uint32).view(np.float32)
        return np.where(np.isnan(values), np.float32(1.5), values)

    def whole(self, low: int, high: int, *shape: int) -> np.ndarray:
        return self._bits.integers(low, high, shape)


def _listed(text: str) -> list[str]:
    return text.split()


_FEATURES = ("Elu", "LeakyRelu", "Relu", "Relu6", "Selu", "Softplus", "Softsign")
_ELEMENTWISE = _listed(
    """
    Abs Acos Acosh Asin Asinh Atan Atanh BesselI0 BesselI0e BesselI1 BesselI1e Ceil Cos Cosh Digamma Elu
    Erf Erfc Erfinv Exp Expm1 Floor Inv IsFinite IsInf IsNan LeakyRelu Lgamma Log Log1p Ndtri Neg
    Reciprocal Relu Relu6 Rint Round Rsqrt Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Square Tan
    Tanh
    """
)
_BINARY = _listed(
    """
    Add AddV2 Atan2 Div DivNoNan FloorDiv FloorMod Maximum Minimum Mod Mul MulNoNan Pow RealDiv
    SquaredDifference Sub TruncateDiv Xdivy Xlog1py Xlogy
    """
)
_GRADIENTS = {
    "EluGrad": ("gradients", "outputs"),
    "InvGrad": ("y", "dy"),
    "LeakyReluGrad": ("gradients", "features"),
    "ReciprocalGrad": ("y", "dy"),
    "Relu6Grad": ("gradients", "features"),
    "ReluGrad": ("gradients", "features"),
    "RsqrtGrad": ("y", "dy"),
    "SeluGrad": ("gradients", "outputs"),
    "SigmoidGrad": ("y", "dy"),
    "SoftplusGrad": ("gradients", "features"),
    "SoftsignGrad": ("gradients", "features"),
    "SqrtGrad": ("y", "dy"),
    "TanhGrad": ("y", "dy"),
}
_TYPES = ("float32", "float64")


def _cast(
    operation: Callable[..., Any], names: tuple[str, ...], dtype: str, **more: Any
) -> Callable[..., Any]:
    """The operation on its operands as a data type."""
    return lambda *xs: operation(**{n: tf.cast(x, dtype) for n, x in zip(names, xs, strict=True)}, **more)


def _elementwise(draw: _Draw) -> Iterator[Case]:
    values = {
        "any bits": draw.wild(_COUNT),
        "[-1, 1]": draw.uniform(_COUNT),
        "[-20, 20]": draw.uniform(_COUNT) * 20,
        "[0, 50]": np.abs(draw.uniform(_COUNT)) * 50 + np.float32(1e-6),
    }
    for name in _ELEMENTWISE:
        operand = ("features",) if name in _FEATURES else ("x",)
        for dtype in _TYPES:
            for text, x in values.items():
                yield Case(name, f"{dtype} {text}", _cast(getattr(R, name), operand, dtype), (x,))


def _of_two(draw: _Draw) -> Iterator[Case]:
    a, b = draw.uniform(_COUNT) * 20, draw.uniform(_COUNT) * 20
    positive = np.abs(a) + np.float32(1e-3)
    for name in _BINARY:
        operands = ("y", "x") if name == "Atan2" else ("x", "y")
        x = positive if name in ("Pow", "Xlogy", "Xlog1py") else a
        y = positive if name in ("Xlogy", "Xlog1py") else b
        for dtype in _TYPES:
            yield Case(name, f"{dtype}", _cast(getattr(R, name), operands, dtype), (x, y))
            rows = (x[:20000].reshape(200, 100), y[:100])
            yield Case(name, f"{dtype} broadcast", _cast(getattr(R, name), operands, dtype), rows)
            wild = (draw.wild(_COUNT), draw.wild(_COUNT))
            yield Case(name, f"{dtype} any bits", _cast(getattr(R, name), operands, dtype), wild)
    for name, names in (("Igamma", ("a", "x")), ("Zeta", ("x", "q"))):
        for dtype in _TYPES:
            operands_of = (positive[:1000] + 1, positive[1000:2000])
            yield Case(name, dtype, _cast(getattr(R, name), names, dtype), operands_of)


def _of_gradients(draw: _Draw) -> Iterator[Case]:
    y, dy = draw.uniform(_COUNT), draw.uniform(_COUNT)
    for name, names in _GRADIENTS.items():
        for dtype in _TYPES:
            yield Case(name, dtype, _cast(getattr(R, name), names, dtype), (y, dy))


_REDUCED: tuple[tuple[tuple[int, ...], Any], ...] = (
    ((7,), 0), ((100,), 0), ((3000,), 0), ((10_000,), 0), ((60_000,), 0), ((200_000,), 0),
    ((16, 32), (0, 1)), ((250, 250), (0, 1)), ((16, 32), 0), ((500, 32), 0), ((5000, 32), 0),
    ((100_000, 8), 0), ((60_000, 1), 0), ((16, 32), 1), ((32, 5000), 1), ((2, 70_000), 1),
    ((8, 12, 12, 16), (0, 1, 2)), ((64, 32, 32, 16), (0, 1, 2)), ((64, 32, 32, 3), (1, 2)),
    ((7, 30, 11, 60), (0, 2)), ((7, 30, 11, 60), (1, 3)), ((2, 3, 70_000), (0, 2)),
)  # fmt: skip


def _reductions(draw: _Draw) -> Iterator[Case]:
    for shape, axes in _REDUCED:
        x = draw.uniform(*shape)
        for dtype in _TYPES:
            for name in ("Sum", "Mean", "Prod", "Max", "Min"):
                operation = getattr(R, name)
                near_one = x * np.float32(1e-3) + np.float32(1) if name == "Prod" else x
                yield Case(
                    name,
                    f"{dtype} {shape} over {axes}",
                    _cast(operation, ("input",), dtype, axis=axes),
                    (near_one,),
                )
    for shape in dict.fromkeys(shape for shape, _ in _REDUCED):
        x = draw.uniform(*shape)
        yield Case("Cumsum", f"float32 {shape}", lambda x: R.Cumsum(x=x, axis=0), (x,))
    for count in (10, 1000, 16_000, 60_000, 1_000_000):
        yield Case("L2Loss", f"float32 {count}", lambda x: R.L2Loss(t=x), (draw.uniform(count),))
    for shape in (
        (16, 4),
        (16, 32),
        (500, 32),
        (1000, 16),
        (3000, 1),
        (5000, 32),
        (8, 12, 12, 16),
        (16, 32, 32, 8),
    ):
        for dtype in _TYPES:
            x = draw.uniform(*shape)
            yield Case(
                "BiasAddGrad", f"{dtype} {shape}", _cast(R.BiasAddGrad, ("out_backprop",), dtype), (x,)
            )
    for shape in ((64, 37), (16, 4), (3000, 10), (3, 20_000)):
        x, y = draw.uniform(*shape) * 5, np.abs(draw.uniform(*shape))
        labels = draw.whole(0, shape[1], shape[0])
        for name in ("Softmax", "LogSoftmax"):
            for dtype in _TYPES:
                yield Case(name, f"{dtype} {shape}", _cast(getattr(R, name), ("logits",), dtype), (x,))
        yield Case(
            "SoftmaxCrossEntropyWithLogits",
            f"float32 {shape}",
            lambda x, y: R.SoftmaxCrossEntropyWithLogits(features=x, labels=y),
            (x, y),
        )
        yield Case(
            "SparseSoftmaxCrossEntropyWithLogits",
            f"float32 {shape}",
            lambda x, y: R.SparseSoftmaxCrossEntropyWithLogits(features=x, labels=y),
            (x, labels),
        )


_SIZES = (
    (1, 7, 3), (2, 2, 2), (8, 30, 64), (32, 64, 32), (32, 64, 1), (7, 300, 9), (32, 1000, 10), (64, 1000, 64),
    (1, 5000, 1), (128, 256, 100), (1000, 3, 1000), (33, 513, 65), (1, 1024, 1024), (16, 784, 128),
    (64, 3000, 128), (100, 20_000, 5), (256, 256, 256),
)  # fmt: skip
_BATCHES = ((4, 5, 6, 7), (16, 8, 16, 16), (32, 8, 8, 8), (8, 32, 64, 32), (2, 100, 700, 30), (3, 1, 3000, 4))


def _products(draw: _Draw, thorough: bool) -> Iterator[Case]:
    sizes, batches = [*_SIZES], [*_BATCHES]
    if thorough:
        for _ in range(80):
            m, k, n = (int(2 ** (draw.whole(0, 1200) / 100)) for _ in range(3))
            if m * k * n <= SMALL_PRODUCT:
                sizes.append((m, k, n))
        for _ in range(30):
            m, k, n = (int(2 ** (draw.whole(0, 800) / 100)) for _ in range(3))
            batches.append((int(draw.whole(1, 5)) * int(2 ** draw.whole(0, 6)), m, k, n))
    for m, k, n in sizes:
        for ta in (False, True):
            for tb in (False, True):
                x = draw.uniform(*((k, m) if ta else (m, k)))
                y = draw.uniform(*((n, k) if tb else (k, n)))
                text = f"float32 {m}x{k}x{n} {'t' if ta else '-'}{'t' if tb else '-'}"
                yield Case(
                    "MatMul", text, _product(R.MatMul, ("a", "b"), transpose_a=ta, transpose_b=tb), (x, y)
                )
    for b, m, k, n in batches:
        x, y = draw.uniform(b, m, k), draw.uniform(b, k, n)
        for name in ("BatchMatMul", "BatchMatMulV2"):
            yield Case(name, f"float32 {b} of {m}x{k}x{n}", _product(getattr(R, name), ("x", "y")), (x, y))
            turned = np.ascontiguousarray(x.transpose(0, 2, 1))
            product = _product(getattr(R, name), ("x", "y"), adj_x=True)
            yield Case(name, f"float32 {b} of {m}x{k}x{n} t-", product, (turned, y))
        yield Case(
            "BatchMatMulV3",
            f"float32 {b} of {m}x{k}x{n}",
            lambda x, y: R.BatchMatMulV3(x=x, y=y, Tout=tf.float32),
            (x, y),
        )
        yield Case(
            "Einsum",
            f"float32 {b} of {m}x{k}x{n}",
            lambda x, y: R.Einsum(inputs=[x, y], equation="bij,bjk->bik"),
            (x, y),
        )


SMALL_PRODUCT = 1 << 22


def _product(operation: Callable[..., Any], names: tuple[str, str], **more: Any) -> Callable[..., Any]:
    return lambda x, y: operation(**dict(zip(names, (x, y), strict=True)), **more)


_IMAGES = (
    ((12, 12, 3), (3, 3, 8), 1), ((12, 12, 16), (3, 3, 32), 2), ((28, 28, 1), (5, 5, 6), 1),
    ((8, 8, 64), (1, 1, 256), 1), ((16, 16, 64), (3, 3, 64), 1),
)  # fmt: skip


def _convolutions(draw: _Draw, thorough: bool) -> Iterator[Case]:
    for batch in (1, 2, 8, 16) if thorough else (1, 8):
        for (h, w, c), (kh, kw, o), s in _IMAGES:
            x, f = draw.uniform(batch, h, w, c), draw.uniform(kh, kw, c, o)
            dy = draw.uniform(batch, -(-h // s), -(-w // s), o)
            yield from _one_convolution("Conv2D", x, f, dy, [1, s, s, 1])
        yield from _one_convolution(
            "DepthwiseConv2dNative",
            draw.uniform(batch, 12, 12, 16),
            draw.uniform(3, 3, 16, 2),
            draw.uniform(batch, 12, 12, 32),
            [1, 1, 1, 1],
        )
        x, f, dy = (
            draw.uniform(batch, 6, 7, 8, 3),
            draw.uniform(3, 3, 3, 3, 4),
            draw.uniform(batch, 6, 7, 8, 4),
        )
        yield from _one_convolution("Conv3D", x, f, dy, [1] * 5, "V2")


def _one_convolution(
    name: str, x: np.ndarray, f: np.ndarray, dy: np.ndarray, strides: list[int], version: str = ""
) -> Iterator[Case]:
    more: dict[str, Any] = {"strides": strides, "padding": "SAME"}
    forward = getattr(R, name)
    to_input, to_filter = (getattr(R, f"{name}Backprop{side}{version}") for side in ("Input", "Filter"))
    text = f"float32 {x.shape} {f.shape} {strides[1]}"
    yield Case(name, text, lambda x, f: forward(input=x, filter=f, **more), (x, f))
    yield Case(
        f"{name}BackpropInput{version}",
        text,
        lambda f, dy: to_input(input_sizes=x.shape, filter=f, out_backprop=dy, **more),
        (f, dy),
    )
    yield Case(
        f"{name}BackpropFilter{version}",
        text,
        lambda x, dy: to_filter(input=x, filter_sizes=f.shape, out_backprop=dy, **more),
        (x, dy),
    )


def _pools(draw: _Draw) -> Iterator[Case]:
    for batch in (1, 8):
        x, dy = draw.uniform(batch, 13, 13, 5), draw.uniform(batch, 7, 7, 5)
        more: dict[str, Any] = {"ksize": [1, 3, 3, 1], "strides": [1, 2, 2, 1], "padding": "SAME"}
        text = f"float32 {x.shape}"
        yield Case("MaxPool", text, lambda x, m=more: R.MaxPool(input=x, **m), (x,))
        yield Case("AvgPool", text, lambda x, m=more: R.AvgPool(value=x, **m), (x,))
        yield Case(
            "AvgPoolGrad",
            text,
            lambda dy, m=more, s=x.shape: R.AvgPoolGrad(orig_input_shape=s, grad=dy, **m),
            (dy,),
        )

        def of_max(x: Any, dy: Any, m: dict[str, Any] = more) -> Any:
            return R.MaxPoolGrad(orig_input=x, orig_output=R.MaxPool(input=x, **m), grad=dy, **m)

        yield Case("MaxPoolGrad", text, of_max, (x, dy))
        deep: dict[str, Any] = {"ksize": [1, 2, 2, 2, 1], "strides": [1, 2, 2, 2, 1], "padding": "SAME"}
        x, dy = draw.uniform(batch, 6, 6, 6, 5), draw.uniform(batch, 3, 3, 3, 5)
        yield Case("MaxPool3D", f"float32 {x.shape}", lambda x, m=deep: R.MaxPool3D(input=x, **m), (x,))

        def of_deep(x: Any, dy: Any, m: dict[str, Any] = deep) -> Any:
            return R.MaxPool3DGrad(orig_input=x, orig_output=R.MaxPool3D(input=x, **m), grad=dy, **m)

        yield Case("MaxPool3DGrad", f"float32 {x.shape}", of_deep, (x, dy))


_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "Relu": tf.nn.relu,
    "Relu6": tf.nn.relu6,
    "Elu": tf.nn.elu,
    "LeakyRelu": tf.nn.leaky_relu,
    "Sigmoid": tf.sigmoid,
}


def _fused(draw: _Draw) -> Iterator[Case]:
    for name in [*sorted(FUSED_WITH - {"BiasAdd"}), ""]:
        activation = _ACTIVATIONS.get(name, lambda v: v)
        for m, k, n in ((16, 20, 32), (64, 784, 128), (16, 3000, 10)):
            operands = (draw.uniform(m, k), draw.uniform(k, n), draw.uniform(n))

            def dense(x: Any, w: Any, b: Any, activation: Any = activation) -> Any:
                return activation(tf.nn.bias_add(tf.matmul(x, w), b))

            yield Case("_FusedMatMul", f"float32 BiasAdd {name} {m}x{k}x{n}", dense, operands)
        for (h, w, c), (kh, kw, o), s in _IMAGES[:3]:
            operands = (draw.uniform(8, h, w, c), draw.uniform(kh, kw, c, o), draw.uniform(o))

            def conv(x: Any, f: Any, b: Any, activation: Any = activation, s: int = s) -> Any:
                return activation(tf.nn.bias_add(tf.nn.conv2d(x, f, s, "SAME"), b))

            yield Case("_FusedConv2D", f"float32 BiasAdd {name} {(h, w, c)}", conv, operands)
        operands = (draw.uniform(8, 12, 12, 16), draw.uniform(3, 3, 16, 2), draw.uniform(32))

        def depthwise(x: Any, f: Any, b: Any, activation: Any = activation) -> Any:
            return activation(tf.nn.bias_add(tf.nn.depthwise_conv2d(x, f, (1, 1, 1, 1), "SAME"), b))

        yield Case("_FusedDepthwiseConv2dNative", f"float32 BiasAdd {name}", depthwise, operands)
        operands = (draw.uniform(2, 6, 7, 8, 3), draw.uniform(3, 3, 3, 3, 4), draw.uniform(4))

        def deep(x: Any, f: Any, b: Any, activation: Any = activation) -> Any:
            return activation(tf.nn.bias_add(tf.nn.conv3d(x, f, (1, 1, 1, 1, 1), "SAME"), b))

        yield Case("_FusedConv3D", f"float32 BiasAdd {name}", deep, operands)


def _others(draw: _Draw) -> Iterator[Case]:
    for dtype in _TYPES:
        three = tuple(draw.uniform(20_003) for _ in range(3))
        yield Case("AddN", dtype, lambda *xs, d=dtype: R.AddN(inputs=[tf.cast(x, d) for x in xs]), three)
        for shape in ((16, 32), (8, 12, 12, 16)):
            x, b = draw.uniform(*shape), draw.uniform(shape[-1])
            yield Case("BiasAdd", f"{dtype} {shape}", _cast(R.BiasAdd, ("value", "bias"), dtype), (x, b))
        for count in (1000, 30_000):
            x, rows = draw.uniform(count, 8), draw.whole(0, 50, count)
            yield Case(
                "UnsortedSegmentSum",
                f"{dtype} {count}",
                lambda x, i, d=dtype: R.UnsortedSegmentSum(
                    data=tf.cast(x, d), segment_ids=i, num_segments=50
                ),
                (x, rows),
            )
            yield Case(
                "ScatterNd",
                f"{dtype} {count}",
                lambda x, i, d=dtype: R.ScatterNd(indices=i[:, None], updates=tf.cast(x, d), shape=[50, 8]),
                (x, rows.astype(np.int32)),
            )
        yield Case(
            "Range",
            dtype,
            lambda x, d=dtype: R.Range(
                start=tf.cast(x[0], d), limit=tf.cast(x[1], d), delta=tf.cast(x[2], d)
            ),
            (np.array([0.1, 900.3, 0.07], np.float32),),
        )
        for name in ("Assign", "AssignAdd", "AssignSub"):
            yield Case(f"{name}VariableOp", dtype, _assigning(name, dtype), (three[0], three[1]))
    key = np.array([5, 7, 0], np.uint64)
    for count in (100, 10_007, 300_007):
        for kind in ("RandomNormal", "RandomUniform", "TruncatedNormal"):
            operation = getattr(R, f"Stateless{kind}V2")
            yield Case(
                f"Stateless{kind}V2",
                f"float32 {count}",
                lambda k, o=operation, n=count: o(shape=[n], key=k[:1], counter=k[1:3], alg=1),
                (key,),
            )
    for shape in ((4, 3, 3, 8), (8, 9, 9, 16), (64, 32, 32, 16)):
        x, dy = draw.uniform(*shape), draw.uniform(*shape)
        ones = np.ones(shape[-1], np.float32)
        none = np.zeros(0, np.float32)

        def normalized(x: Any, ones: Any, none: Any) -> Any:
            return R.FusedBatchNormV3(x=x, scale=ones, offset=ones, mean=none, variance=none)

        def backwards(x: Any, dy: Any, ones: Any) -> Any:
            return R.FusedBatchNormGradV3(
                y_backprop=dy,
                x=x,
                scale=ones,
                reserve_space_1=ones,
                reserve_space_2=ones,
                reserve_space_3=ones,
            )[:3]

        yield Case(
            "FusedBatchNormV3", f"float32 {shape}", lambda *xs, f=normalized: f(*xs)[:3], (x, ones, none)
        )
        yield Case("FusedBatchNormGradV3", f"float32 {shape}", backwards, (x, dy, ones))


def _assigning(name: str, dtype: str) -> Callable[..., Any]:
    def assign(x: Any, y: Any) -> Any:
        handle = R.VarHandleOp(dtype=dtype, shape=x.shape, shared_name=f"probe_{name}_{dtype}")
        start = R.AssignVariableOp(resource=handle, value=tf.cast(x, dtype))
        with tf.control_dependencies([start]):
            end = getattr(R, f"{name}VariableOp")(resource=handle, value=tf.cast(y, dtype))
        with tf.control_dependencies([end]):
            return R.ReadVariableOp(resource=handle, dtype=dtype)

    return assign
