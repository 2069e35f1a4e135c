"""The `PYTHONHASHSEED` that is in effect in this interpreter, found from a hash.

    >>> effective_hash_seed(["not a seed"]) in (0, "random")
    True

The variable proves nothing: setting it in a running process changes nothing, and `python -E` ignores it. So
the hash that CPython gives a string under a seed is computed here and compared with the actual one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

_PROBE = "keras_repro"
_MASK = (1 << 64) - 1
_ROUNDS = {"siphash13": (1, 3), "siphash24": (2, 4)}


def effective_hash_seed(candidates: Iterable[object]) -> int | str | None:
    """Return the hash seed that is in effect.

    Args:
        candidates: possible seeds, as numbers or text; anything else is ignored.

    Returns:
        The seed; `"random"` if hashes are random or follow a seed that is no candidate; None if the hash
        function of this Python is unknown.
    """
    if not sys.flags.hash_randomization:
        return 0
    rounds = _ROUNDS.get(sys.hash_info.algorithm)
    if rounds is None:
        return None
    for candidate in candidates:
        seed = _as_seed(candidate)
        if seed and hash(_PROBE) == _string_hash(_PROBE.encode(), seed, rounds):
            return seed
    return "random"


def _as_seed(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and int(text) < 2**32 else None


def _string_hash(data: bytes, seed: int, rounds: tuple[int, int]) -> int:
    """Return the SipHash of bytes (Aumasson and Bernstein, 2012), keyed as in `bootstrap_hash.c`."""
    state, key = seed, bytearray()
    for _ in range(16):
        state = (state * 214013 + 2531011) & 0xFFFFFFFF
        key.append((state >> 16) & 0xFF)
    first, second = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [
        first ^ 0x736F6D6570736575,
        second ^ 0x646F72616E646F6D,
        first ^ 0x6C7967656E657261,
        second ^ 0x7465646279746573,
    ]
    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        v[3] ^= word
        _mix(v, rounds[0])
        v[0] ^= word
    v[2] ^= 0xFF
    _mix(v, rounds[1])
    value = v[0] ^ v[1] ^ v[2] ^ v[3]
    value -= (value >> 63) << 64
    return -2 if value == -1 else value


def _mix(v: list[int], rounds: int) -> None:
    for _ in range(rounds):
        v[0] = (v[0] + v[1]) & _MASK
        v[1] = _rotated(v[1], 13) ^ v[0]
        v[0] = _rotated(v[0], 32)
        v[2] = (v[2] + v[3]) & _MASK
        v[3] = _rotated(v[3], 16) ^ v[2]
        v[0] = (v[0] + v[3]) & _MASK
        v[3] = _rotated(v[3], 21) ^ v[0]
        v[2] = (v[2] + v[1]) & _MASK
        v[1] = _rotated(v[1], 17) ^ v[2]
        v[2] = _rotated(v[2], 32)


def _rotated(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & _MASK
