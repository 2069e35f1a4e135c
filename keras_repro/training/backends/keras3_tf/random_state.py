"""Global random state of Keras 3 and TensorFlow.

Private names checked with Keras 3.7 to 3.15 (`global_state`, `rng_utils`, `_value`) and TensorFlow 2.21
(`stateful_random_ops`, `context.context()._rng`, `random_seed`, `_state_var`).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any

from keras_repro.training.backends.hooks import Handler, add_hook


def capture() -> dict[str, Any]:
    """Return the states of TensorFlow's global generator and of its seeds for eager operations.

    Draws nothing, and makes no generator: the state of one that does not exist is left out.
    """
    states: dict[str, Any] = {}
    generator = global_tensorflow_generator()
    if generator is not None:
        states["tensorflow"] = generator.state.numpy()
    eager = eager_operation_seeds()
    if eager is not None:
        states["eager"] = eager.getstate()
    return states


def restore(states: Mapping[str, Any]) -> None:
    """Restore what `capture` returned, as far as this process has the generators."""
    generator = global_tensorflow_generator()
    if generator is not None and "tensorflow" in states:
        generator.state.assign(states["tensorflow"])
    eager = eager_operation_seeds()
    if eager is not None and "eager" in states:
        eager.setstate(states["eager"])


def global_seed_generator() -> Any:
    """Return Keras's global seed generator, None if it does not exist yet."""
    from keras.src.backend.common import global_state

    return global_state.get_global_attribute("global_seed_generator")


def global_tensorflow_generator() -> Any:
    """Return TensorFlow's global generator, None if it does not exist yet."""
    module = sys.modules.get("tensorflow.python.ops.stateful_random_ops")
    return getattr(module, "global_generator", None)


def eager_operation_seeds() -> Any:
    """Return the `random.Random` that seeds TensorFlow's eager operations, None if there is none."""
    context = sys.modules.get("tensorflow.python.eager.context")
    return getattr(context.context(), "_rng", None) if context is not None else None


def seeds_set() -> dict[str, int | None]:
    """Return the seeds that were set with Keras and with TensorFlow, as both remember them."""
    from keras.src.utils import rng_utils

    get_seed = getattr(rng_utils, "get_random_seed", lambda: None)  # older versions do not remember it
    keras_seed = get_seed()
    context = sys.modules.get("tensorflow.python.eager.context")
    tensorflow_seed = context.global_seed() if context is not None else None
    return {"keras": keras_seed, "tensorflow": tensorflow_seed}


def hook_operation_seeds(handler: Handler) -> None:
    """Hook the function that gives TensorFlow's random operations their seeds: `(None, None)` for none."""
    from tensorflow.python.framework import random_seed

    add_hook(random_seed, "get_seed", handler)


def seed_generators(next_seed: Callable[[], int]) -> None:
    """Seed the `tf.random.Generator`s that would start from entropy: op determinism refuses to make them.

    Args:
        next_seed: returns the seed of the next one.
    """
    from tensorflow.python.ops import stateful_random_ops as module

    make_global = module.get_global_generator
    from_entropy = module.Generator.from_non_deterministic_state.__func__

    @functools.wraps(from_entropy)
    def from_next_seed(cls: Any, alg: Any = None) -> Any:
        return cls.from_seed(next_seed(), alg)

    @functools.wraps(make_global)
    def make_global_from_next_seed() -> Any:
        if module.global_generator is None:
            with module.ops.init_scope():
                module.set_global_generator(module.Generator.from_seed(next_seed()))
        return make_global()

    module.Generator.from_non_deterministic_state = classmethod(from_next_seed)
    # The public modules hold the function too.
    name = "get_global_generator"
    for holder in list(sys.modules.values()):
        if getattr(holder, "__dict__", {}).get(name) is make_global:
            setattr(holder, name, make_global_from_next_seed)


def state_variable(generator: Any) -> Any:
    """Return the `tf.Variable` that holds a generator's state, None if it has none yet."""
    attributes = vars(generator)
    state = attributes.get("_state_var", attributes.get("state"))
    return getattr(state, "_value", state)
