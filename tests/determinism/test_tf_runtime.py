"""Whether a seed reaches the order of arrays, with the installed Keras and with one that ignores it."""

from __future__ import annotations

import pytest
import tensorflow as tf

from keras_repro.determinism.tf_runtime import seed_reaches_order


def test_order_that_ignores_the_seed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.random, "shuffle", lambda x: tf.random.experimental.stateless_shuffle(x, [0, 0]))
    assert seed_reaches_order() is False
    monkeypatch.undo()
    tf.random.set_seed(3)
    expected = tf.random.uniform(()).numpy()
    tf.random.set_seed(3)
    assert seed_reaches_order() is True
    assert tf.random.uniform(()).numpy() == expected
