"""Draw in a graph; XLA has its own generator."""

import tensorflow as tf
from exact import train

seed = tf.Variable([1, 2])


@tf.function
def draw() -> tf.Tensor:
    """Return 64 numbers after enough operations for XLA to compile them."""
    numbers = tf.random.stateless_uniform([64], seed=seed)
    return tf.floor(numbers * 8.0) + 1.0 - tf.floor(numbers * 2.0)


train(int(draw().numpy().sum()))
