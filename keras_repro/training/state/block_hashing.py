"""Digests of large tensors block by block, in several threads.

block_digests([(0, memoryview(kernel))])         # [(0, b"...")]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xxhash

from keras_repro.determinism.tf_runtime import cpu_count
from keras_repro.training.state.hashing_threads import MAX_THREADS, hash_all

BLOCK = 1 << 22  # bytes
_WORTH_A_THREAD = 2 * BLOCK


def block_digests(views: Sequence[tuple[int, Any]]) -> list[tuple[int, bytes]]:
    """Return what represents the bytes of large tensors in their section: the digests of their blocks.

    One tensor can so use several cores, and the result is the same for any number of them.

    Args:
        views: pairs of a number and a C-contiguous buffer; those of less than 4 MiB are skipped.

    Returns:
        Pairs of the number and the concatenated XXH3-128 digests of the blocks of 4 MiB.
    """
    flat = [(i, view.cast("B")) for i, v in views if (view := memoryview(v)).nbytes >= BLOCK]
    blocks = [view[start : start + BLOCK] for _, view in flat for start in range(0, len(view), BLOCK)]
    threads = min(cpu_count(), MAX_THREADS, len(blocks) * BLOCK // _WORTH_A_THREAD)
    digests = iter(hash_all(blocks, _digest, threads=threads))
    return [(i, b"".join(next(digests) for _ in range(0, len(view), BLOCK))) for i, view in flat]


def _digest(block: memoryview) -> bytes:
    hasher = xxhash.xxh3_128()
    hasher.update(block)  # lets other threads run, unlike `xxh3_128_digest`
    return hasher.digest()
