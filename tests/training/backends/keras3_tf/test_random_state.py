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


def test_captured_generators_of_tensorflow_are_restored() -> None:
    tf.random.set_seed(3)
    generator = tf.random.get_global_generator()
    states = random_state.capture()
    assert set(states) == {"tensorflow", "eager"}
    drawn = generator.uniform([]).numpy()
    tf.random.uniform([])
    assert random_state.capture()["eager"] != states["eager"]
    random_state.restore(states)
    assert random_state.capture()["eager"] == states["eager"]
    assert generator.uniform([]).numpy() == drawn


def test_generators_have_a_state_variable() -> None:
    seeds, generator = keras.random.SeedGenerator(5), tf.random.Generator.from_seed(5)
    assert isinstance(random_state.state_variable(seeds), tf.Variable)
    assert random_state.state_variable(generator) is generator.state
