"""Exact functions: compared with float64 over their domain, their gradients, and their removal."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework import op_def_library

from keras_repro.determinism.operation_catalogue import why_not_portable
from keras_repro.determinism.portable_pins import GRAPH_OPTIMIZER
from keras_repro.training.backends.keras3_tf.exact_functions import REPLACED, use_exact_functions

OPERATIONS = {
    "Rsqrt": (tf.raw_ops.Rsqrt, lambda x: 1 / np.sqrt(x)),
    "Reciprocal": (tf.raw_ops.Reciprocal, lambda x: 1 / x),
    "Inv": (tf.raw_ops.Inv, lambda x: 1 / x),
    "Erfc": (tf.raw_ops.Erfc, scipy.special.erfc),
    "Erfinv": (tf.raw_ops.Erfinv, scipy.special.erfinv),
    "Ndtri": (tf.raw_ops.Ndtri, scipy.special.ndtri),
    "Atan": (tf.raw_ops.Atan, np.arctan),
    "BesselI0": (tf.raw_ops.BesselI0, scipy.special.i0),
    "BesselI0e": (tf.raw_ops.BesselI0e, scipy.special.i0e),
    "BesselI1": (tf.raw_ops.BesselI1, scipy.special.i1),
    "BesselI1e": (tf.raw_ops.BesselI1e, scipy.special.i1e),
}
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 1.1754944e-38, 3.4028235e38, -3.4028235e38]
TINY = np.finfo(np.float32).tiny


@pytest.fixture
def exact():
    undo = use_exact_functions()
    yield
    undo()


def everywhere(name):
    """Return float32 values of the domain: random bits, and as many from the steepest range."""
    bits = np.random.Generator(np.random.PCG64(3))
    wild = bits.integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    spread = (bits.random(20_000) * 30 - 15).astype(np.float32)
    x = np.concatenate([wild, spread])
    if name in ("Erfinv", "Ndtri"):
        x = (bits.random(40_000) * 2 - 1).astype(np.float32)
        x = np.abs(x) if name == "Ndtri" else x
    return x[np.isfinite(x) & ((np.abs(x) >= TINY) | (x == 0))]


def traced(operation, x):
    return tf.function(lambda x: operation(x=x))(tf.constant(x)).numpy()


def ulps(values, reference):
    """Return the distance of float32 values from float64 ones, in float32 units in the last place."""
    spacing = np.spacing(np.abs(reference).astype(np.float32)).astype(np.float64)
    return np.abs(values.astype(np.float64) - reference) / spacing


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", OPERATIONS)
def test_functions_are_within_half_a_unit_of_float64(name, exact):
    operation, function = OPERATIONS[name]
    x = everywhere(name)
    reference = function(x.astype(np.float64))
    limit = np.abs(reference)
    normal = np.isfinite(reference) & (limit >= TINY) & (limit <= np.finfo(np.float32).max)
    assert normal.sum() > 5_000
    # Bessel functions and inverses are only as good as float64 makes them: far better than half a unit.
    assert ulps(traced(operation, x), reference)[normal].max() < 0.501


@pytest.mark.parametrize("name", OPERATIONS)
def test_zeros_infinities_and_denormals_are_unchanged(name):
    operation, _ = OPERATIONS[name]
    x = np.array(SPECIAL, np.float32)
    before = traced(operation, x)
    undo = use_exact_functions()
    try:
        now = traced(operation, x)
    finally:
        undo()
    known = {
        "Erfc": [1, 1, 0, 2, np.nan, 1, 1, 1, 0, 2],
        "Rsqrt": [np.inf, -np.inf, 0, np.nan, np.nan, np.inf, -np.inf, 2.0**63, 5.421011e-20, np.nan],
    }
    np.testing.assert_allclose(now, np.array(known.get(name, before), np.float32), rtol=1e-6)


def test_tail_of_erfc_is_exact(exact):
    x = np.linspace(4, 9, 1000, dtype=np.float32)
    reference = scipy.special.erfc(x.astype(np.float64))
    assert ulps(traced(tf.raw_ops.Erfc, x), reference).max() < 0.501
    # In the tail, one minus erf is far less accurate.
    assert ulps(1 - scipy.special.erf(x).astype(np.float32), reference).min() > 1e3


def test_functions_of_two_operands_are_exact(exact):
    bits = np.random.Generator(np.random.PCG64(4))
    y, x = bits.normal(size=(2, 5000)).astype(np.float32)
    angles = tf.function(tf.math.atan2)(tf.constant(y), tf.constant(x)).numpy()
    assert ulps(angles, np.arctan2(y.astype(np.float64), x.astype(np.float64))).max() < 0.501


@pytest.mark.parametrize(
    ("function", "derivative"),
    [
        (tf.math.rsqrt, lambda x: -0.5 * x**-1.5),
        (tf.math.reciprocal, lambda x: -1 / x**2),
        (tf.math.erfc, lambda x: -2 / np.sqrt(np.pi) * np.exp(-(x**2))),
        (tf.math.atan, lambda x: 1 / (1 + x**2)),
    ],
)
def test_gradients_are_exact(function, derivative, exact):
    x = np.linspace(0.1, 6, 500, dtype=np.float32)
    expected = derivative(x.astype(np.float64))
    outer = tf.Variable(x)

    @tf.function
    def by_tape(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x)

    @tf.function
    def symbolic(x):
        return tf.gradients(function(x), x)[0]

    inner = tf.function(lambda: function(outer))
    with tf.GradientTape() as tape:
        y = inner()
    for gradient in (by_tape(tf.constant(x)), symbolic(tf.constant(x)), tape.gradient(y, outer)):
        np.testing.assert_allclose(gradient.numpy(), expected, rtol=2e-5)


def test_loops_and_captured_operands_are_exact(exact):
    captured = tf.constant([4.0, 16.0])

    @tf.function
    def looped():
        return tf.while_loop(
            lambda i, y: i < 2, lambda i, y: (i + 1, y * tf.math.rsqrt(captured)), (0, captured)
        )[1]

    assert looped().numpy().tolist() == [1.0, 1.0]


def test_float64_is_not_changed(exact):
    graph = tf.function(tf.math.rsqrt).get_concrete_function(tf.constant([2.0], tf.float64)).graph
    assert [o.type for o in graph.get_operations()] == ["Placeholder", "Rsqrt", "Identity"]


def types_in(operation, operands):
    """Return type and data type of each operation in the graph of an operation."""
    graph = tf.function(lambda **x: operation(**x)).get_concrete_function(**operands).graph
    return {(o.type, o.inputs[0].dtype.name) for o in graph.get_operations() if o.inputs}


@pytest.mark.parametrize("name", REPLACED)
def test_function_that_is_not_replaced_is_reported(name):
    """Without its replacement, the operation is in the graph in float32, and is reported."""
    value = tf.constant([0.5])
    operands = {"y": value, "x": value} if name == "Atan2" else {"x": value}
    operation = getattr(tf.raw_ops, name)
    for names, narrow in ((REPLACED, False), ([n for n in REPLACED if n != name], True)):
        undo = use_exact_functions(names)
        try:
            types = types_in(operation, operands)
        finally:
            undo()
        assert ((name, "float32") in types) == narrow
        reasons = [why_not_portable(o, {t}) for o, t in types]
        assert any(reasons) == narrow


def test_this_cpu_approximates_the_replaced_functions():
    """On this CPU, each of these operations has other bits than its exact replacement."""
    x = everywhere("Rsqrt")
    x = np.abs(x[x != 0])
    for name in ("Rsqrt", "Reciprocal", "Erfc", "Atan"):
        operation = OPERATIONS[name][0]
        cpu_values = traced(operation, x)
        undo = use_exact_functions()
        try:
            exact_values = traced(operation, x)
        finally:
            undo()
        assert (cpu_values != exact_values).any(), name


def test_overlapping_uses_are_undone():
    original = op_def_library._apply_op_helper
    first, second = use_exact_functions(), use_exact_functions(["Erfc"])
    first()
    first()
    assert op_def_library._apply_op_helper is not original
    assert ("Rsqrt", "float32") in types_in(tf.raw_ops.Rsqrt, {"x": tf.constant([1.0])})
    second()
    assert op_def_library._apply_op_helper is original


@pytest.fixture
def optimizer():
    """Set the graph optimizer's options, and restore them."""
    now = context.context()
    before = dict(now._optimizer_experimental_options)

    def set_options(options):
        now._optimizer_experimental_options.clear()
        now.set_optimizer_experimental_options(options)

    yield set_options
    set_options(before)


@pytest.mark.parametrize(
    ("left_on", "approximations"),
    [
        (None, set()),
        ("constant_folding", {"Reciprocal"}),
        ("arithmetic_optimization", {"Rsqrt"}),
    ],
)
def test_graph_optimizer_restores_no_approximation(left_on, approximations, optimizer, exact):
    """Either disabled optimizer restores an approximation if it is left on."""
    optimizer({n: v for n, v in GRAPH_OPTIMIZER.items() if n != left_on})
    now = context.context()

    @tf.function
    def divides(x, y):
        return 1.0 / (1.0 + tf.exp(x)), x / tf.sqrt(y)

    now.enable_run_metadata()
    try:
        divides(tf.constant([1.0, 2.0]), tf.constant([3.0, 5.0]))
        graphs = now.export_run_metadata().function_graphs
    finally:
        now.disable_run_metadata()
    types = {n.op for g in graphs for n in g.post_optimization_graph.node}
    assert types & {"Rsqrt", "Reciprocal"} == approximations
