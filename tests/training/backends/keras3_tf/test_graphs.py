"""Operations of traced graphs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import tensorflow as tf
from keras import layers
from tensorflow.core.framework import attr_value_pb2, node_def_pb2, op_def_pb2
from tensorflow.python.client import pywrap_tf_session
from training import models

from keras_repro.determinism.operation_catalogue import SELF_SEEDED, STATEFUL_RANDOM
from keras_repro.training.backends.keras3_tf import graphs
from keras_repro.training.graph.traced_step import traced_step


def test_every_stateful_random_operation_is_listed() -> None:
    known = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    seeded = {o.name: o.is_stateful for o in known.op if {"seed", "seed2"} <= {a.name for a in o.attr}}
    # Layers of cuDNN draw for dropout only, no graph of Keras has a queue, and the last two draw nothing.
    others = ("Cudnn", "RandomShuffleQueue", "ComputeAccidentalHits", "SnapshotDataset")
    drawing = {name: is_stateful for name, is_stateful in seeded.items() if not name.startswith(others)}
    assert {name for name, is_stateful in drawing.items() if is_stateful} == STATEFUL_RANDOM
    assert {name for name, is_stateful in drawing.items() if not is_stateful} == SELF_SEEDED


def test_node_draws_unless_its_seed_fixes_all_its_values() -> None:
    def node(operation: str, **attributes: Any) -> Any:
        return node_def_pb2.NodeDef(
            op=operation,
            attr={
                n: attr_value_pb2.AttrValue(**{"f" if n == "dropout" else "i": v})
                for n, v in attributes.items()
            },
        )

    assert graphs.is_stateful_random(node("FractionalMaxPool", seed=0, seed2=0))
    assert not graphs.is_stateful_random(node("FractionalMaxPool", seed=0, seed2=3))
    assert graphs.is_stateful_random(node("RandomUniform", seed=3, seed2=3))
    assert graphs.is_stateful_random(node("CudnnRNNV3", dropout=0.5, seed=3, seed2=3))
    assert not graphs.is_stateful_random(node("CudnnRNNV3", dropout=0.0, seed=0, seed2=0))
    assert not graphs.is_stateful_random(node("CudnnRNNParamsSize", dropout=0.5, seed=0, seed2=0))
    assert not graphs.is_stateful_random(node("ComputeAccidentalHits", seed=0, seed2=0))
    assert not graphs.is_stateful_random(node("Softmax"))


def test_stateful_random_operations_of_the_traced_step_are_found() -> None:
    x, y = models.data()
    model = models.compiled(
        keras.Sequential(
            [keras.Input((4,)), layers.Lambda(lambda v: v + tf.random.normal((4,), seed=1)), layers.Dense(1)]
        )
    )
    assert graphs.stateful_random_operations(model) == []
    model.fit(x, y, verbose=0)
    assert graphs.stateful_random_operations(model) == ["RandomStandardNormal"]
    # Keras's own draws are stateless.
    quiet = models.compiled(keras.Sequential([keras.Input((4,)), layers.Dropout(0.5), layers.Dense(1)]))
    quiet.fit(x, y, verbose=0)
    assert graphs.stateful_random_operations(quiet) == []


def test_operations_of_called_functions_are_walked_once() -> None:
    @tf.function
    def inner(x: Any) -> Any:
        return tf.sqrt(x)

    graph = tf.function(lambda x: inner(x) + inner(x)).get_concrete_function(tf.constant(1.0)).graph
    types = [operation.type for operation in graphs.operations_of(graph)]
    assert types.count("Sqrt") == 1
    assert types.count("PartitionedCall") + types.count("StatefulPartitionedCall") == 2
    nodes = {(node.op, bool(inside)) for node, inside in graphs.nodes_of(graph.as_graph_def())}
    assert {("Sqrt", True), ("AddV2", False)} <= nodes
    assert "Sqrt" in graphs.operation_types(graph)


def test_step_functions_of_a_model_are_found() -> None:
    models.fresh()
    model = models.functional()
    model.make_train_function()
    several, single = graphs.step_functions(model.train_function)
    assert hasattr(single, "get_concrete_function")
    assert several is None or hasattr(several, "get_concrete_function")  # newer versions do not call it
    model.steps_per_execution = 2
    model.make_train_function(force=True)
    assert all(hasattr(f, "get_concrete_function") for f in graphs.step_functions(model.train_function))
    model.run_eagerly = True
    model.make_train_function(force=True)
    assert graphs.step_functions(model.train_function) == (None, None)


def test_step_that_keras_calls_with_each_batch_is_traced_for_the_batch() -> None:
    """Newer versions take the batch from the iterator themselves if a call makes one step."""

    @tf.function
    def one_step_on_data(data: Any) -> Any:
        return tf.reduce_sum(data)

    def make(self: Any, multi_step_on_iterator: Any) -> Any:
        def function(iterator: Any) -> Any:
            if isinstance(iterator, tf.data.Iterator) and self.steps_per_execution == 1:
                return one_step_on_data(iterator.get_next_as_optional().get_value())
            return one_step_on_data(next(iterator)) if self else multi_step_on_iterator(iterator)

        return function

    function = make(SimpleNamespace(steps_per_execution=1), tf.function(lambda iterator: next(iterator)))
    assert graphs.step_functions(function) == (None, one_step_on_data)
    concrete, rest = traced_step(function, iter(tf.data.Dataset.from_tensor_slices([[1.0, 2.0], [3.0, 4.0]])))
    assert concrete.structured_input_signature[0][0].shape == (2,)
    assert [function(rest).numpy(), function(rest).numpy()] == [3.0, 7.0]
    ended, _ = traced_step(function, rest)
    assert ended is None
