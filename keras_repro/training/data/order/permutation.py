"""The order of samples: a pure function of (seed, pass, position), in O(1) for any position.

    >>> [permuted(10, seed=42, epoch=0, position=p) for p in range(10)]
    [7, 6, 0, 8, 3, 9, 4, 2, 1, 5]
    >>> sorted(permutation(10, seed=42, epoch=1).tolist()) == list(range(10))
    True

The permutation is a generalized Feistel cipher over `Z_a x Z_b` with `a * b >= n`, walked along its cycle
if it leaves the range (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). It needs only
integer arithmetic and hashed keys, so no release of NumPy or TensorFlow can change it, and the same code
computes it in NumPy and inside a TensorFlow graph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import blake3
import numpy as np

Shuffle = Literal["every_epoch", "once", "none"]
SHUFFLES = get_args(Shuffle)

ROUNDS = 10
LARGEST = 2**40

_FACTORS = (0x2C1B3C6D, 0x297A2D39)  # from Wellons's search for 32-bit mixers with low bias (2018)
_MASK = 0xFFFFFFFF


@dataclass(frozen=True)
class Domain:
    """The cipher's domain `Z_a x Z_b`, hardly larger than the number of samples."""

    a: int
    b: int

    @classmethod
    def of(cls, size: int) -> Domain:
        """Return the domain for `size` samples, 1 to 2**40.

        Raises:
            ValueError: the size is out of that range.
        """
        if not 1 <= size <= LARGEST:
            raise ValueError(f"size must be from 1 to 2**40, received {size}")
        a = math.isqrt(size - 1) + 1
        return cls(a, -(-size // a))


def epoch_keys(seed: int, shuffle: Shuffle, epoch: int) -> np.ndarray:
    """Return the round keys of one pass over the data.

    Args:
        seed: the run's seed.
        shuffle: the policy; under `"once"` all passes share their keys.
        epoch: index of the pass, from 0.

    Returns:
        `ROUNDS` keys of 32 bits, dtype int64.
    """
    which = "once" if shuffle == "once" else str(epoch)
    text = f"keras_repro order {seed} {which}".encode()
    raw = blake3.blake3(text).digest(length=4 * ROUNDS)
    return np.frombuffer(raw, dtype="<u4").astype(np.int64)


def permutation(size: int, *, seed: int, epoch: int, shuffle: Shuffle = "every_epoch") -> np.ndarray:
    """Return the whole order of one pass: the sample at each position, int64 of shape `(size,)`."""
    return permuted(size, seed=seed, epoch=epoch, position=np.arange(size), shuffle=shuffle)


def permuted(size: int, *, seed: int, epoch: int, position: Any, shuffle: Shuffle = "every_epoch") -> Any:
    """Return the samples at some positions of one pass.

    Args:
        size: number of samples.
        seed: the run's seed.
        epoch: index of the pass, from 0.
        position: a position or an array of them, each from 0 to `size - 1`.
        shuffle: `"every_epoch"`, `"once"` or `"none"`.

    Returns:
        An int, or an int64 array of the shape of `position`.
    """
    values = np.asarray(position, dtype=np.int64)
    if shuffle != "none":
        domain = Domain.of(size)
        keys = epoch_keys(seed, shuffle, epoch)
        values = np.array(encrypt(values, keys, domain), ndmin=values.ndim)
        while np.any(outside := values >= size):
            values = np.where(outside, encrypt(values, keys, domain), values)
    return int(values) if np.ndim(position) == 0 else values


def encrypt(values: Any, keys: Any, domain: Domain, operations: Any = np) -> Any:
    """Encrypt values: apply all rounds once.

    Args:
        values: int64, each below `a * b` of the domain.
        keys: `ROUNDS` int64 keys, indexable.
        domain: the domain.
        operations: has `right_shift`, `bitwise_xor`, `bitwise_and` and `where`: NumPy, or the TensorFlow
            operations of `ordered_pipeline`.

    Returns:
        int64, each below `a * b`, different for different values.
    """
    left, right = values // domain.b, values % domain.b
    for number in range(0, ROUNDS, 2):
        left = _added(left, right, keys[number], domain.a, operations)
        right = _added(right, left, keys[number + 1], domain.b, operations)
    return left * domain.b + right


def _added(half: Any, other: Any, key: Any, modulus: int, operations: Any) -> Any:
    """Return `half` plus a number below `modulus` that depends on the other half, modulo `modulus`."""
    # A product of 32 bits with the modulus, shifted down, is a remainder without a division.
    share = operations.right_shift(_mixed(other, key, operations) * modulus, 32)
    total = half + share
    return operations.where(total >= modulus, total - modulus, total)


def _mixed(values: Any, key: Any, operations: Any) -> Any:
    """Mix a 32-bit value with a key, in 64-bit arithmetic that does not overflow."""
    shift, xor, both = operations.right_shift, operations.bitwise_xor, operations.bitwise_and
    values = xor(both(values, _MASK), key)
    values = both(xor(values, shift(values, 16)) * _FACTORS[0], _MASK)
    values = both(xor(values, shift(values, 12)) * _FACTORS[1], _MASK)
    return xor(values, shift(values, 15))
