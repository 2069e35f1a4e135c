"""Digests of large tensors block by block, on several cores.

    in_blocks([(0, memoryview(kernel))])         # [(0, b"...")]

The threads stay from one call to the next: to start one takes as long as hashing some megabytes. When a call
returns, none of them holds a view any more.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

import xxhash

from keras_repro.determinism.tf_runtime import cpu_count

BLOCK = 1 << 22
_WORTH_A_THREAD = 2 * BLOCK
_MOST_THREADS = 8


def in_blocks(views: Sequence[tuple[int, Any]]) -> list[tuple[int, bytes]]:
    """What stands for the bytes of large tensors in their section: the digests of their blocks.

    So one tensor keeps several cores busy, and the digest is the same on any number of them. Smaller tensors
    are left out.

    Args:
        views: C-contiguous buffers, each with a number of its own.

    Returns:
        For each number the XXH3-128 digests of its blocks of 4 MiB, one behind the other.
    """
    flat = [(i, view.cast("B")) for i, v in views if (view := memoryview(v)).nbytes >= BLOCK]
    blocks = [view[start : start + BLOCK] for _, view in flat for start in range(0, len(view), BLOCK)]
    job = _Job(blocks)
    helpers = min(cpu_count(), _MOST_THREADS, len(blocks) * BLOCK // _WORTH_A_THREAD) - 1
    for helper in _helpers(helpers):
        helper.jobs.put(job)
    job.work()
    job.wait()
    # What a thread failed at is done again here, where the error is seen.
    remaining = iter([d or xxhash.xxh3_128_digest(b) for d, b in zip(job.digests, blocks, strict=True)])
    return [(i, b"".join(next(remaining) for _ in range(0, len(view), BLOCK))) for i, view in flat]


class _Job:
    """Blocks to hash, taken one by one by whoever has time."""

    def __init__(self, blocks: Sequence[memoryview]) -> None:
        self.digests: list[bytes | None] = [None] * len(blocks)
        self._waiting = deque(enumerate(blocks))
        self._one_more = threading.Event()

    def work(self) -> None:
        """Hashes what is waiting."""
        while self._waiting:
            try:
                number, block = self._waiting.popleft()
            except IndexError:  # another was faster
                return
            digest = b""
            try:
                hasher = xxhash.xxh3_128()
                hasher.update(block)  # lets other threads run, as the function that does it at once may not
                digest = hasher.digest()
            finally:
                del block  # before anybody hears of it: a view that is held makes the next step copy
                self.digests[number] = digest
                self._one_more.set()

    def wait(self) -> None:
        """Waits for what others have taken."""
        while None in self.digests:
            self._one_more.wait()
            self._one_more.clear()


class _Helper(threading.Thread):
    """Works on one job after the other, as long as the process lives."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="keras_repro hashing")
        self.jobs: SimpleQueue[_Job] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while True:
            with contextlib.suppress(Exception):  # whoever gave the job sees what is missing
                self.jobs.get().work()


_running: list[_Helper] = []


def _helpers(count: int) -> list[_Helper]:
    """So many helpers; those of a process that this one was forked from are none."""
    if count <= 0:
        return []
    _running[:] = [helper for helper in _running if helper.is_alive()]
    while len(_running) < count:
        _running.append(_Helper())
    return _running[:count]
