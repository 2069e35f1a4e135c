"""Seeds as a function of (seed, names), and the global generators of the process.

>>> derive(42, "dropout")
1931566602
>>> derive(42, "dropout") == derive(42, "augment")
False
"""

from __future__ import annotations

import operator
import random
import sys
from collections.abc import Mapping
from typing import Any

import blake3


def derive(seed: int, *names: str | int, bits: int = 31) -> int:
    """Derive a seed for one purpose from a run's seed by a hash. Adding numbers would collide.

    Args:
        seed: the run's seed.
        names: the purpose, such as `("order", 3)`; different names give unrelated seeds.
        bits: size of the seed, 1 to 256; the default of 31 fits every seeding call.

    Returns:
        An integer from 0 to `2**bits - 1`, the same on every machine and in every version.
    """
    text = "\x1f".join([str(operator.index(seed)), *map(_framed, names)])
    return int.from_bytes(blake3.blake3(text.encode()).digest()) >> (256 - bits)


def _framed(name: str | int) -> str:
    # No name may look like two, and an integer of NumPy counts as an integer.
    if isinstance(name, str):
        return "str:" + name.replace("\x1f", "\x1f\x1f")
    return f"int:{operator.index(name)}"


def set_seeds(seed: int) -> None:
    """Seed the global generators of Python, NumPy, TensorFlow and Keras.

    Args:
        seed: from 0 to `2**32 - 1`.
    """
    import keras

    keras.utils.set_random_seed(seed)


def clear_and_seed(seed: int) -> None:
    """Clear Keras's session, then seed; in the other order, clearing would drop the stored seed."""
    import keras

    keras.backend.clear_session()
    set_seeds(seed)


def set_generator(generator: object, seed: int) -> None:
    """Set a `keras.random.SeedGenerator` or `tf.random.Generator` to the first state of a seed."""
    state = generator.state  # type: ignore[attr-defined]
    if hasattr(generator, "reset_from_seed"):
        generator.reset_from_seed(seed)
    else:
        state.assign([seed, 0])


def capture_rng_state() -> dict[str, Any]:
    """Return the states of Python's and NumPy's global generators. Draws nothing, and imports nothing."""
    states: dict[str, Any] = {"python": random.getstate()}
    numpy_random: Any = sys.modules.get("numpy.random")
    if hasattr(numpy_random, "get_state"):  # else it is being imported
        states["numpy"] = numpy_random.get_state()
    return states


def restore_rng_state(states: Mapping[str, Any]) -> None:
    """Restore what `capture_rng_state` returned."""
    random.setstate(states["python"])
    if "numpy" in states:
        sys.modules["numpy.random"].set_state(states["numpy"])


def process_generators() -> dict[str, str]:
    """Return digests of the states of Python's and NumPy's global generators."""
    states = capture_rng_state()
    if "numpy" in states:
        kind, keys, position, *rest = states["numpy"]
        states["numpy"] = (kind, keys.tobytes().hex(), position, rest)
    return {name: blake3.blake3(repr(s).encode()).hexdigest()[:32] for name, s in states.items()}
