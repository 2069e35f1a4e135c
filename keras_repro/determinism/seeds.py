"""Seeds as a function of (seed, names), and every generator set from one.

>>> derive(42, "dropout")
1931566602
>>> derive(42, "dropout") == derive(42, "augment")
False
"""

from __future__ import annotations

import operator
import random
import sys

import blake3


def derive(seed: int, *names: str | int, bits: int = 31) -> int:
    """Derives a seed for one purpose from a run's seed, by a hash and never by adding.

    Args:
        seed: the run's seed.
        names: what it is for, such as `("order", 3)`; different names give unrelated seeds.
        bits: how large it may be, 1 to 256; the default fits every seeding call.

    Returns:
        An integer from 0 to `2**bits - 1`, the same on every machine and in every version.
    """
    text = "\x1f".join([str(operator.index(seed)), *map(_framed, names)])
    return int.from_bytes(blake3.blake3(text.encode()).digest()) >> (256 - bits)


def _framed(name: str | int) -> str:
    # No name may look like two, and a number of NumPy is the number that it is.
    if isinstance(name, str):
        return "str:" + name.replace("\x1f", "\x1f\x1f")
    return f"int:{operator.index(name)}"


def set_seeds(seed: int) -> None:
    """Seeds Python's, NumPy's, TensorFlow's and Keras's global generators.

    Args:
        seed: from 0 to `2**32 - 1`.
    """
    import keras

    keras.utils.set_random_seed(seed)


def clear_and_seed(seed: int) -> None:
    """Clears Keras's session, then seeds: in the other order the clearing would drop the stored seed."""
    import keras

    keras.backend.clear_session()
    set_seeds(seed)


def set_generator(generator: object, seed: int) -> None:
    """Sets one `keras.random.SeedGenerator` or `tf.random.Generator` to a seed's first state."""
    state = generator.state  # type: ignore[attr-defined]
    if hasattr(generator, "reset_from_seed"):
        generator.reset_from_seed(seed)
    else:
        state.assign([seed, 0])


def process_generators() -> dict[str, str]:
    """Digests of the process's own generators as they stand: Python's and NumPy's. Draws nothing."""
    states = {"python": repr(random.getstate())}
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        kind, keys, position, *rest = numpy_random.get_state()
        states["numpy"] = repr((kind, keys.tobytes().hex(), position, rest))
    return {name: blake3.blake3(s.encode()).hexdigest()[:32] for name, s in states.items()}
