"""Operations of traced graphs."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session
from training import models

from keras_repro.determinism.operation_catalogue import STATEFUL_RANDOM
from keras_repro.training.backends.keras3_tf import graphs


def test_every_stateful_random_operation_is_listed() -> None:
    known = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    drawing = {o.name for o in known.op if o.is_stateful and {"seed", "seed2"} <= {a.name for a in o.attr}}
    others = {
        n for n in drawing if n.startswith(("Cudnn", "RandomShuffleQueue"))
    }  # no graph of Keras has them
    assert drawing - others == STATEFUL_RANDOM


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
    assert all(hasattr(f, "get_concrete_function") for f in graphs.step_functions(model.train_function))
    model.run_eagerly = True
    model.make_train_function(force=True)
    assert graphs.step_functions(model.train_function) == (None, None)
