"""Portable trainings: refusals before the first step, recorded levels, and restored functions."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tensorflow.python.eager import context
from tensorflow.python.framework import op_def_library

import keras_repro as kr
from keras_repro.determinism.portable_pins import GRAPH_OPTIMIZER
from keras_repro.errors import PortabilityError
from keras_repro.ledger.reader import open_ledger
from keras_repro.training.backends import hooks
from keras_repro.training.backends.keras3_tf.graph_optimizer import optimized_graph
from keras_repro.training.portable.mode import PortableMode, portability_of

X = np.arange(96, dtype="float32").reshape(16, 6) / 96
Y = np.arange(16) % 3
LEVEL = "portable over x86-64 with AVX2, at any number of threads"
COUNTS = [1, 2, 3, 4, 8, 16]


def small(*inner, **compiled):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4), *inner, layers.Dense(3)], name="small")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(**({"optimizer": "adam", "loss": loss} | compiled))
    return model


def trained(model, **mode):
    with PortableMode(**mode):
        model.fit(X, Y, batch_size=8, verbose=0)
    return portability_of(model)


def in_python(x):
    return tf.ensure_shape(tf.numpy_function(np.sin, [x], x.dtype), x.shape)


def types_run(model):
    """Return the operation types of the step that a model has run, with their data types."""
    function = model.train_function
    while hasattr(function, "function"):
        function = function.function
    cells = dict(zip(function.__code__.co_freevars, function.__closure__, strict=True))
    (concrete,) = cells["multi_step_on_iterator"].cell_contents._list_all_concrete_functions()
    graph = optimized_graph(concrete)
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    return {(n.op, tf.as_dtype(n.attr["T"].type).name) for n in nodes if n.attr["T"].type}


def test_layers_with_approximate_functions_are_portable():
    gelu = layers.Activation(lambda x: keras.activations.gelu(x, approximate=False))
    model = small(layers.BatchNormalization(), layers.LayerNormalization(), gelu, layers.Dropout(0.2))
    assert trained(model) == {
        "level": LEVEL,
        "threads": 1,
        "findings": [],
        "same_at": COUNTS,
        "because": [],
    }
    types = types_run(model)
    assert {("Rsqrt", "float64"), ("Erfc", "float64")} <= types
    assert not types & {("Rsqrt", "float32"), ("Erfc", "float32")}


def test_error_names_operation_layer_and_line():
    def normalized(x):
        x = keras.ops.reshape(x, (-1, 1, 1, 4))
        x = tf.nn.local_response_normalization(x)
        return keras.ops.reshape(x, (-1, 4))

    line = normalized.__code__.co_firstlineno + 2
    model = small(layers.Lambda(normalized, name="odd"))
    before = [v.numpy().copy() for v in model.variables]
    with pytest.raises(PortabilityError) as raised:
        trained(model)
    assert [t for t in str(raised.value).splitlines() if " LRN " in t] == [
        f"  LRN in layer odd, made at test_mode.py:{line}: is not known to be portable"
    ]
    assert str(raised.value).startswith("the training step of 'small' is not portable to another CPU")
    for variable, value in zip(model.variables, before, strict=True):
        assert (variable.numpy() == value).all()  # nothing was trained


def test_findings_are_recorded_unless_strict():
    lrn = layers.Lambda(
        lambda x: keras.ops.squeeze(tf.nn.local_response_normalization(x[:, None, None]), (1, 2)), name="odd"
    )
    report = trained(small(lrn), strict=False, threads=2)
    assert report["level"] == "not portable: 2 operations not known to be portable (LRN, LRNGrad)"
    assert [(f["operation"], f["layer"]) for f in report["findings"]] == [("LRN", "odd"), ("LRNGrad", "odd")]


@pytest.mark.parametrize(
    ("inner", "compiled", "reason"),
    [
        (
            (),
            {"jit_compile": True},
            "is compiled by XLA for this CPU: compile the model with jit_compile=False",
        ),
        ((), {"run_eagerly": True}, "the step is run eagerly, or in a way that cannot be inspected"),
        ((layers.Dense(4, dtype="mixed_bfloat16"),), {}, "computes in half precision"),
        ((layers.Lambda(in_python),), {}, "PyFunc in layer lambda.*: is not known to be portable"),
    ],
    ids=["xla", "eager", "bfloat16", "python"],
)
@pytest.mark.filterwarnings("ignore")
def test_unportable_models_are_refused(inner, compiled, reason):
    with pytest.raises(PortabilityError, match=reason):
        trained(small(*inner, **compiled))


def test_dense_with_tanh_is_not_fused():
    model = small(layers.Dense(4, activation="tanh"))
    assert trained(model)["level"] == LEVEL
    assert ("Tanh", "float32") in types_run(model)


def attention(x):
    return layers.Dot(2)([x, x])


@pytest.mark.parametrize(
    ("inner", "level", "because"),
    [
        ((layers.Dense(8),), "any number of threads", []),
        ((layers.Reshape((2, 2)), layers.LSTM(3)), "any number of threads", []),
        ((layers.Reshape((2, 2)), attention, layers.Flatten()), "1, 2 or 4 threads", ["BatchMatMulV2"]),
        ((layers.Reshape((2, 2)), layers.Conv1D(3, 2), layers.Flatten()), "1 thread", ["Conv2D"]),
        ((layers.Dense(900), layers.Dense(900)), "1 thread", ["MatMul"]),
    ],
    ids=["dense", "lstm", "attention", "convolution", "large"],
)
def test_level_states_the_thread_counts_with_the_same_bits(inner, level, because):
    inputs = keras.Input((6,))
    x = layers.Dense(4, name="first")(inputs)
    for layer in inner:
        x = layer(x)
    model = keras.Model(inputs, layers.Dense(3, name="last")(x))
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with PortableMode():
        model.fit(X[:12], Y[:12], batch_size=8, verbose=0)  # batches of 8 and 4
    report = portability_of(model)
    assert report["level"] == f"portable over x86-64 with AVX2, at {level}"
    assert set(because) <= set(report["because"])


def test_unknown_batch_size_leaves_one_thread():
    data = tf.data.Dataset.from_tensor_slices((X, Y))
    for batches, level in (
        (data.batch(8), "1 thread"),
        (data.batch(8, drop_remainder=True), "any number of threads"),
    ):
        model = small()
        with PortableMode():
            model.fit(batches, verbose=0)
        assert portability_of(model)["level"] == f"portable over x86-64 with AVX2, at {level}"


def test_validation_step_is_checked():
    """The validation step has its own batch sizes: its last batch has a single product."""
    inputs = keras.Input((6,))
    y = attention(layers.Reshape((3, 2))(inputs))
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(y)))
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with PortableMode():
        model.fit(X[:8], Y[:8], batch_size=8, verbose=0)
        assert portability_of(model)["same_at"] == [1, 2, 4, 8]
        model.fit(
            X[:8], Y[:8], batch_size=8, verbose=0, validation_data=(X[:9], Y[:9]), validation_batch_size=8
        )
    assert portability_of(model)["same_at"] == [1]

    class Odd(keras.Model):
        def call(self, x, training=False):
            return x if training else x * tf.linalg.svd(x[:, :, None], compute_uv=False)

    odd = Odd()
    odd.compile(optimizer="sgd", loss="mse")
    match = "the validation step of 'odd' is not portable to another CPU:"
    with pytest.raises(PortabilityError, match=match), PortableMode():
        odd.evaluate(X, X, verbose=0)


def test_second_trace_draws_no_random_number():
    class Draws(layers.Layer):
        def call(self, x):
            return x * np.random.rand()

    def drawn(mode):
        keras.utils.set_random_seed(1)
        model = small(Draws())
        with mode:
            model.fit(X, Y, batch_size=8, verbose=0)
        return np.random.rand()

    assert drawn(PortableMode()) == drawn(contextlib.nullcontext())


def test_graph_optimization_turned_on_again_is_reported():
    class TurnsOn(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            tf.config.optimizer.set_experimental_options({"constant_folding": True})

    match = "turned the graph optimizer's constant_folding on again"
    with pytest.raises(PortabilityError, match=match), PortableMode():
        small().fit(X, Y, callbacks=[TurnsOn()], verbose=0)


def test_step_traced_before_the_mode_is_traced_again():
    model = small(layers.BatchNormalization())
    model.fit(X, Y, batch_size=8, verbose=0)
    model.predict(X, verbose=0)
    assert ("Rsqrt", "float32") in types_run(model)
    predicts = model.predict_function
    assert trained(model)["level"] == LEVEL
    assert ("Rsqrt", "float32") not in types_run(model)
    with PortableMode():
        model.predict(X, verbose=0)
    assert model.predict_function is not predicts


def test_train_on_batch_is_checked():
    model = small()
    with PortableMode():
        model.train_on_batch(X, Y)
    assert portability_of(model)["level"] == LEVEL
    odd = small(layers.Lambda(lambda x: tf.linalg.svd(x[None], compute_uv=False)[0][:, None] * x[:, :1]))
    with pytest.raises(PortabilityError, match=r"Svd"), PortableMode():
        odd.train_on_batch(X[:3], Y[:3])


def test_leaving_the_mode_restores_all_functions_and_options():
    trainer = keras.src.backend.tensorflow.trainer.TensorFlowTrainer
    scope = keras.src.backend.tensorflow.core.name_scope
    batches = keras.src.trainers.epoch_iterator.EpochIterator

    def handlers(owner, name):
        known = hooks._known.get(vars(owner)[name])
        return () if known is None else known.handlers

    def state():
        return (
            op_def_library._apply_op_helper,
            dict(context.context()._optimizer_experimental_options),
            *(handlers(trainer, f"make_{n}_function") for n in ("train", "test", "predict")),
            handlers(scope, "__enter__"),
            handlers(batches, "__init__"),
        )

    before = state()
    mode = PortableMode()
    with mode:
        with mode:
            pass
        inside = state()
    assert [a != b for a, b in zip(before, inside, strict=True)] == [True] * 7
    assert inside[1] == before[1] | GRAPH_OPTIMIZER
    assert state() == before


def test_portable_trainer_records_its_level(tmp_path):
    def trainer(**arguments):
        return kr.ReproducibleTrainer(
            lambda: small(layers.BatchNormalization()), seed=1, batch_size=8, strict=False, **arguments
        )

    before = dict(context.context()._optimizer_experimental_options)
    with pytest.warns(UserWarning, match="switch"):  # this process has started with other switches
        portable = trainer(determinism="portable")
    assert dict(context.context()._optimizer_experimental_options) == before
    runs = [portable.fit(X, Y, verbose=0, run_dir=tmp_path / n) for n in "ab"]
    assert runs[0].fingerprint == runs[1].fingerprint
    ledger = open_ledger(tmp_path / "a")
    assert ledger.header["determinism"] == "portable"
    assert dict(context.context()._optimizer_experimental_options) == before
    (optimizer,) = [s for s in ledger.header["switches"] if s["name"] == "graph_optimizer"]
    assert optimizer["requested"] == optimizer["achieved"] == GRAPH_OPTIMIZER
    assert [r["portability"]["level"] for r in ledger.records() if r["kind"] == "epoch"] == [LEVEL]
    plain = trainer().fit(X, Y, verbose=0, run_dir=tmp_path / "c")
    assert open_ledger(tmp_path / "c").header["determinism"] == "bitwise"
    assert plain.fingerprint != runs[0].fingerprint
    comparison = kr.compare(tmp_path / "a", tmp_path / "c")
    assert comparison.reason == "one run is portable and the other bitwise: two different trainings"


def test_unknown_level_is_refused():
    with pytest.raises(
        ValueError, match="determinism must be one of 'bitwise', 'portable', received 'exact'"
    ):
        kr.ReproducibleTrainer(small, seed=1, batch_size=8, determinism="exact")


def test_late_portable_request_is_an_error():
    tf.config.list_logical_devices()
    with pytest.raises(kr.ReproError, match="was requested after TensorFlow's runtime had started"):
        kr.ReproducibleTrainer(
            small, seed=1, batch_size=8, determinism="portable", switches={"intra_op_threads": 77}
        )
