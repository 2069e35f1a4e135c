"""The operations of TensorFlow that give the same bits on every x86-64 CPU with AVX2, as tested.

    >>> why_not_portable("MatMul", {"float32"}, {})
    >>> why_not_portable("Rsqrt", {"float32"}, {})
    'uses instructions that each CPU model approximates in its own way'

An operation is portable if a list below contains its type; an operation in no list is unknown. Operations
that compute numbers are measured: `tests/portable/probe_score.py` runs each over 20,000 values (random bits
with infinities and denormals, tails) or over several shapes, on this CPU and on an emulated one, and prints
what it did not test. Of the operations that only move, compare or choose (`MOVING`) a few were tested; the
others are listed because they round nothing. Checked with TensorFlow 2.21.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def names(text: str) -> frozenset[str]:
    """Return the types in a text, which blanks separate."""
    return frozenset(text.split())


# They compute no floating-point numbers: they move, compare, count, choose, or contain a state.
MOVING = names(
    """
    _Arg _DeviceArg _DeviceRetval _Retval Abs All Any ArgMax ArgMin Assert AssignVariableOp Bincount
    Bitcast BitwiseAnd BitwiseOr BitwiseXor BroadcastArgs BroadcastGradientArgs BroadcastTo Bucketize Case
    Cast CheckNumerics ClipByValue Concat ConcatOffset ConcatV2 Const DeepCopy DenseBincount DepthToSpace
    DynamicPartition DynamicStitch EmptyTensorList EnsureShape Enter Equal Exit ExpandDims Fill FloorMod
    Gather GatherNd GatherV2 Greater GreaterEqual GuaranteeConst Identity IdentityN If InvertPermutation
    IsFinite IsInf IsNan IteratorGetNext IteratorGetNextAsOptional LeftShift Less LessEqual LogicalAnd
    LogicalNot LogicalOr LoopCond Max Maximum Merge Min Minimum MirrorPad Neg NextIteration NoOp NotEqual
    OneHot OnesLike OptionalFromValue OptionalGetValue OptionalHasValue OptionalNone Pack Pad PadV2
    PartitionedCall Placeholder PlaceholderWithDefault PlugNone PreventGradient Range Rank ReadVariableOp
    Relu Relu6 Relu6Grad ReluGrad Reshape ResourceGather ResourceGatherNd ReverseSequence ReverseV2
    RightShift Roll ScatterNd Select SelectV2 Shape ShapeN Sign Size Slice Snapshot SpaceToDepth Split
    SplitV Squeeze Stack StatefulPartitionedCall StatelessCase StatelessIf StatelessRandomGetAlg
    StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg StatelessRandomUniformFullIntV2
    StatelessRandomUniformIntV2 StatelessWhile StopGradient StridedSlice StridedSliceGrad Switch
    SymbolicGradient TensorListConcatV2 TensorListElementShape TensorListFromTensor TensorListGetItem
    TensorListLength TensorListPopBack TensorListPushBack TensorListReserve TensorListResize
    TensorListSetItem TensorListStack TensorScatterUpdate Tile TopK TopKV2 Transpose Unique UniqueV2
    Unpack VarHandleOp VariableShape VarIsInitializedOp Where While ZerosLike
    """
)
"""Types of the operations that give the same bits on every CPU, for all data types."""
# They compute, and were equal in float32 and float64.
_COMPUTING = names(
    """
    Acos Acosh Add AddN AddV2 Asin Asinh AssignAddVariableOp AssignSubVariableOp Atanh BiasAdd BiasAddGrad
    Ceil Cos Cosh Cumsum Digamma Div DivNoNan Elu EluGrad Erf Exp Expm1 Floor FloorDiv Igamma InvGrad
    L2Loss LeakyRelu LeakyReluGrad Lgamma Log Log1p LogSoftmax Mean Mod Mul MulNoNan Pow Prod RealDiv
    ReciprocalGrad ReluGrad Rint Round RsqrtGrad Selu SeluGrad Sigmoid SigmoidGrad Sin Sinh Softmax
    Softplus SoftplusGrad Softsign SoftsignGrad Sqrt SqrtGrad Square SquaredDifference Sub Sum Tan Tanh
    TanhGrad TruncateDiv UnsortedSegmentSum Xdivy Xlog1py Xlogy Zeta
    """
)
# In float32 oneDNN computes them, and they were equal. In float64 Eigen does, which splits sums by the size
# of the CPU's caches: products with an inner size of 20,000 differ.
_COMPUTING_SINGLE = names(
    """
    AvgPool AvgPoolGrad BatchMatMul BatchMatMulV2 BatchMatMulV3 Conv2D Conv2DBackpropFilter
    Conv2DBackpropInput Conv3D Conv3DBackpropFilterV2 Conv3DBackpropInputV2 DepthwiseConv2dNative
    DepthwiseConv2dNativeBackpropFilter DepthwiseConv2dNativeBackpropInput Einsum MatMul MaxPool MaxPool3D
    MaxPool3DGrad MaxPoolGrad SoftmaxCrossEntropyWithLogits SparseSoftmaxCrossEntropyWithLogits
    StatelessRandomNormalV2 StatelessRandomUniformV2 StatelessTruncatedNormalV2
    """
)
# Equal in float64, which has no approximate instructions; in float32 `exact_functions` replaces it.
_APPROXIMATE = names(
    """
    Atan Atan2 BesselI0 BesselI0e BesselI1 BesselI1e Erfc Erfinv Inv Ndtri Reciprocal Rsqrt
    """
)
_FUSED = frozenset({"_FusedConv2D", "_FusedConv3D", "_FusedDepthwiseConv2dNative", "_FusedMatMul"})
# A fused tanh crashes the emulator (qemu 7.2) and was not compared: `exact_functions` keeps it from fusing.
FUSED_WITH = frozenset({"BiasAdd", "Relu", "Relu6", "Elu", "LeakyRelu", "Sigmoid"})

_HALF = frozenset({"bfloat16", "float16", "half"})


def known_types() -> frozenset[str]:
    """Return the types of the listed operations that compute numbers."""
    return _COMPUTING | _COMPUTING_SINGLE | _APPROXIMATE | _FUSED


def why_not_portable(
    operation: str, types: Collection[str], attributes: Mapping[str, Any] | None = None
) -> str | None:
    """Return why an operation is not known to give the same bits on another CPU; None if it is.

    Args:
        operation: its type.
        types: names of its data types.
        attributes: `fused` (what is fused into it), `xla` (whether XLA compiles it), `device`.
    """
    attributes = attributes or {}
    if "GPU" in str(attributes.get("device", "")).upper():
        return "runs on a GPU"
    if attributes.get("xla"):
        return "is compiled by XLA for this CPU: compile the model with jit_compile=False"
    if operation in MOVING:
        return None
    if _HALF & set(types):
        return "computes in half precision, which each CPU model does in its own way, or not at all"
    if operation in _APPROXIMATE:
        if "float32" not in types:
            return None
        return "uses instructions that each CPU model approximates in its own way"
    if operation in _FUSED:
        other = sorted(set(attributes.get("fused", ())) - FUSED_WITH)
        return f"is fused with {', '.join(other)}, which is not known to be portable" if other else None
    if operation in _COMPUTING or (operation in _COMPUTING_SINGLE and "float64" not in types):
        return None
    if not {"float32", "float64", "complex64", "complex128"} & set(types) and types:
        return None  # integers and strings are not rounded
    return "is not known to be portable"


# Types of the operations with a counter that is neither saved nor visible.
STATEFUL_RANDOM = names(
    """
    AllCandidateSampler FixedUnigramCandidateSampler LearnedUnigramCandidateSampler
    LogUniformCandidateSampler Multinomial ParameterizedTruncatedNormal RandomCrop RandomGamma RandomPoisson
    RandomPoissonV2 RandomShuffle RandomStandardNormal RandomUniform RandomUniformInt
    SampleDistortedBoundingBox SampleDistortedBoundingBoxV2 ThreadUnsafeUnigramCandidateSampler
    TruncatedNormal UniformCandidateSampler
    """
)
# Types of the operations whose kernel takes the system's entropy if they have no seed of their own. With a
# seed, they draw the same values in each step.
SELF_SEEDED = names("FractionalAvgPool FractionalMaxPool")
