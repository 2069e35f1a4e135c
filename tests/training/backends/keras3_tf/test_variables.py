"""Kinds of variables and zero-copy reads: a new release of Keras fails here first."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from training import models

from keras_repro.training.backends.keras3_tf import variables


def test_kinds_of_variables_and_layers_are_recognized() -> None:
    variable = keras.Variable(1.0)
    assert variables.is_keras_variable(variable)
    assert not variables.is_keras_variable(tf.Variable(1.0))
    assert variables.raw_variable(variable) is variable._value
    assert isinstance(variables.raw_variable(variable), tf.Variable)
    for saveable in (layers.Dense(1), keras.optimizers.Adam(), keras.metrics.Mean(), keras.Sequential()):
        assert variables.is_saveable(saveable)
    assert not variables.is_saveable(models.Settings())
    assert variables.is_graph_of_layers(models.sequential())
    assert variables.is_graph_of_layers(models.functional())
    assert not variables.is_graph_of_layers(models.subclassed())


def _address(tensor: Any) -> int:
    return int(np.asarray(memoryview(tensor)).__array_interface__["data"][0])


def test_reads_share_the_variables_memory() -> None:
    created: list[Any] = [tf.Variable(tf.fill(1000, float(n))) for n in range(3)] + [tf.Variable(["a", "b"])]
    read = variables.read_all(created)
    assert [_address(t) for t in read[:3]] == [_address(v.read_value()) for v in created[:3]]
    assert [t[0].numpy() for t in read] == [0.0, 1.0, 2.0, b"a"]
    assert variables.read_all([]) == []
