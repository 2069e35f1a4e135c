"""Operations of traced graphs."""

from __future__ import annotations

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
