"""The one seam to names that Keras does not promise to keep: here a new release shows first."""

from __future__ import annotations

import sys
from typing import Any

import keras
import numpy as np
import pandas
import pytest
import tensorflow as tf
from keras import layers
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session
from training import models

from keras_repro.determinism.operation_catalogue import STATEFUL_RANDOM
from keras_repro.training.backends.keras3_tf import variables as keras_api


def test_kinds() -> None:
    variable = keras.Variable(1.0)
    assert keras_api.is_keras_variable(variable)
    assert not keras_api.is_keras_variable(tf.Variable(1.0))
    assert keras_api.raw_variable(variable) is variable._value
    assert isinstance(keras_api.raw_variable(variable), tf.Variable)
    for saveable in (layers.Dense(1), keras.optimizers.Adam(), keras.metrics.Mean(), keras.Sequential()):
        assert keras_api.is_saveable(saveable)
    assert not keras_api.is_saveable(models.Settings())
    assert keras_api.is_graph_of_layers(models.sequential())
    assert keras_api.is_graph_of_layers(models.functional())
    assert not keras_api.is_graph_of_layers(models.subclassed())


def _address(tensor: Any) -> int:
    return int(np.asarray(memoryview(tensor)).__array_interface__["data"][0])


def test_reads_share_the_variables_memory() -> None:
    variables = [tf.Variable(tf.fill(1000, float(n))) for n in range(3)] + [tf.Variable(["a", "b"])]
    read = keras_api.read_all(variables)
    assert [_address(t) for t in read[:3]] == [_address(v.read_value()) for v in variables[:3]]
    assert [t[0].numpy() for t in read] == [0.0, 1.0, 2.0, b"a"]
    assert keras_api.read_all([]) == []


def test_seeds_that_were_set() -> None:
    keras.utils.set_random_seed(17)
    assert keras_api.seeds_set() == {"keras": 17, "tensorflow": 17}
    keras.backend.clear_session()
    assert keras_api.seeds_set()["keras"] is None
    tf.random.set_seed(18)
    assert keras_api.seeds_set() == {"keras": None, "tensorflow": 18}


def test_versions_are_those_that_are_loaded() -> None:
    assert keras_api.versions() == {"tensorflow": tf.__version__, "keras": keras.__version__}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.zeros((2, 2)), True),
        ([np.zeros(2), np.zeros(2)], True),
        ({"a": np.zeros(2)}, True),
        (tf.zeros(2), True),
        (pandas.DataFrame([[1.0]]), True),
        (tf.data.Dataset.range(3), False),
        ([1.0, 2.0], False),
        (None, True),
    ],
    ids=["array", "list", "dict", "tensor", "frame", "dataset", "numbers", "none"],
)
def test_what_keras_takes_for_arrays(given: Any, expected: bool) -> None:
    assert keras_api.is_array_like(given) is expected


def test_the_share_that_keras_holds_out() -> None:
    (x, y, none), (held_x, held_y, held_none) = keras_api.split_off_validation(
        (np.arange(10), np.arange(10), None), 0.25
    )
    assert (x.tolist(), held_x.tolist()) == (list(range(7)), [7, 8, 9])
    assert (y.tolist(), held_y.tolist(), none, held_none) == (x.tolist(), held_x.tolist(), None, None)


def test_the_list_that_calls() -> None:
    found: list[Any] = []

    class Looks(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            found.append(keras_api.calling_list(sys._getframe(0)))

    callback = Looks()
    listed = keras.callbacks.CallbackList([callback])
    listed.on_train_begin()
    assert found == [listed]
    callback.on_train_begin()
    assert found[1] is None


def test_all_operations_that_keep_a_counter_are_known() -> None:
    known = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    drawing = {o.name for o in known.op if o.is_stateful and {"seed", "seed2"} <= {a.name for a in o.attr}}
    others = {
        n for n in drawing if n.startswith(("Cudnn", "RandomShuffleQueue"))
    }  # no graph of Keras has them
    assert drawing - others == STATEFUL_RANDOM


def test_stateful_operations_in_the_traced_step() -> None:
    x, y = models.data()
    model = models.compiled(
        keras.Sequential(
            [keras.Input((4,)), layers.Lambda(lambda v: v + tf.random.normal((4,), seed=1)), layers.Dense(1)]
        )
    )
    assert keras_api.stateful_random_operations(model) == []
    model.fit(x, y, verbose=0)
    assert keras_api.stateful_random_operations(model) == ["RandomStandardNormal"]
    # Keras's own draws are stateless.
    quiet = models.compiled(keras.Sequential([keras.Input((4,)), layers.Dropout(0.5), layers.Dense(1)]))
    quiet.fit(x, y, verbose=0)
    assert keras_api.stateful_random_operations(quiet) == []


def test_which_models_say_what_they_compute() -> None:
    assert keras_api.has_call(models.sequential())
    assert keras_api.has_call(models.functional())
    assert keras_api.has_call(models.subclassed())
    assert not keras_api.has_call(models.gan())
