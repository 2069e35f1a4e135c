"""Seeds that were set, as Keras and TensorFlow remember them."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_repro.training.backends.keras3_tf import random_state


def test_seeds_set_are_reported() -> None:
    keras.utils.set_random_seed(17)
    assert random_state.seeds_set() == {"keras": 17, "tensorflow": 17}
    keras.backend.clear_session()
    assert random_state.seeds_set()["keras"] is None
    tf.random.set_seed(18)
    assert random_state.seeds_set() == {"keras": None, "tensorflow": 18}
