"""Global random state of Keras 3 and TensorFlow.

Private names checked with Keras 3.15 and TensorFlow 2.21.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import wrapt


def global_seed_generator() -> Any:
    """Keras's global seed generator if something has made it, else None. Makes none."""
    from keras.src.backend.common import global_state

    return global_state.get_global_attribute("global_seed_generator")


def global_tensorflow_generator() -> Any:
    """TensorFlow's global generator if something has made it, else None. Makes none."""
    module = sys.modules.get("tensorflow.python.ops.stateful_random_ops")
    return getattr(module, "global_generator", None)


def eager_operation_seeds() -> Any:
    """The `random.Random` from which TensorFlow takes seeds of eager operations; None where there is none."""
    context = sys.modules.get("tensorflow.python.eager.context")
    return getattr(context.context(), "_rng", None) if context is not None else None


def seeds_set() -> dict[str, int | None]:
    """The seeds that were set with Keras and with TensorFlow, as both remember them."""
    from keras.src.utils import rng_utils

    keras_seed = rng_utils.get_random_seed()
    context = sys.modules.get("tensorflow.python.eager.context")
    tensorflow_seed = context.global_seed() if context is not None else None
    return {"keras": keras_seed, "tensorflow": tensorflow_seed}


def wrap_operation_seeds(wrapper: Callable[..., Any]) -> None:
    """Wrap the function that gives TensorFlow's random operations their seeds: `(None, None)` for none."""
    from tensorflow.python.framework import random_seed

    wrapt.wrap_function_wrapper(random_seed, "get_seed", wrapper)


def state_variable(generator: Any) -> Any:
    """Return the `tf.Variable` that holds a generator's state, None if it has none yet."""
    attributes = vars(generator)
    state = attributes.get("_state_var", attributes.get("state"))
    return getattr(state, "_value", state)
