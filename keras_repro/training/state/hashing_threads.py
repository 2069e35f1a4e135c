"""Hash several buffers at once, in threads that stay from one call to the next; large tensors block by block.

block_digests([(0, memoryview(kernel))])         # [(0, b"...")]

Starting a thread takes as long as hashing some megabytes.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

import xxhash

from keras_repro.determinism.tf_runtime import cpu_count

BLOCK = 1 << 22  # bytes
_MAX_THREADS = 8


def thread_count(size: int, *, each: int) -> int:
    """Return the number of threads for work of some size, of which `each` is worth a thread."""
    return min(cpu_count(), _MAX_THREADS, size // each)


def block_digests(views: Sequence[tuple[int, Any]]) -> list[tuple[int, bytes]]:
    """Return what represents the bytes of large tensors in their section: the digests of their blocks.

    So one tensor can use several cores, and the result is the same for any number of them.

    Args:
        views: pairs of a number and a C-contiguous buffer; those of less than 4 MiB are skipped.

    Returns:
        Pairs of the number and the concatenated XXH3-128 digests of the blocks of 4 MiB.
    """
    flat = [(i, view.cast("B")) for i, v in views if (view := memoryview(v)).nbytes >= BLOCK]
    blocks = [view[start : start + BLOCK] for _, view in flat for start in range(0, len(view), BLOCK)]
    threads = thread_count(len(blocks), each=2)
    digests = iter(hash_all(blocks, _block_digest, threads=threads))
    return [(i, b"".join(next(digests) for _ in range(0, len(view), BLOCK))) for i, view in flat]


def hash_all(
    buffers: Sequence[Any],
    digest: Callable[[Any], bytes],
    *,
    threads: int,
    meanwhile: Callable[[], None] | None = None,
) -> list[bytes]:
    """Hash buffers in several threads.

    Args:
        buffers: the buffers; when the call returns, no thread has a reference to one.
        digest: returns the digest of a buffer; it should let other threads run.
        threads: the number of threads, this one included.
        meanwhile: called in this thread while the other threads hash.
    """
    job = _Job(buffers, digest)
    for helper in _helpers(threads - 1):
        helper.jobs.put(job)
    if meanwhile is not None:
        meanwhile()
    job.work()
    job.wait()
    # If a thread failed, the work is repeated here, where the error is raised.
    return [result or digest(buffer) for result, buffer in zip(job.digests, buffers, strict=True)]


def _block_digest(block: memoryview) -> bytes:
    hasher = xxhash.xxh3_128()
    hasher.update(block)  # lets other threads run, unlike `xxh3_128_digest`
    return hasher.digest()


class _Job:
    """Buffers to hash; each thread takes one after the other."""

    def __init__(self, buffers: Sequence[Any], digest: Callable[[Any], bytes]) -> None:
        self.digests: list[bytes | None] = [None] * len(buffers)
        self._waiting = deque(enumerate(buffers))
        self._digest = digest
        self._one_more = threading.Event()

    def work(self) -> None:
        """Hash the waiting buffers."""
        while self._waiting:
            try:
                index, buffer = self._waiting.popleft()
            except IndexError:  # another thread was faster
                return
            result = b""
            try:
                result = self._digest(buffer)
            finally:
                del buffer  # before the result is visible: a view that is alive makes the next step copy
                self.digests[index] = result
                self._one_more.set()

    def wait(self) -> None:
        """Wait for the buffers that other threads have taken."""
        while None in self.digests:
            self._one_more.wait()
            self._one_more.clear()


class _Helper(threading.Thread):
    """Work on one job after the other, until the process ends."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="keras_repro hashing")
        self.jobs: SimpleQueue[_Job] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while True:
            with contextlib.suppress(Exception):  # `hash_all` repeats the work
                self.jobs.get().work()


_running: list[_Helper] = []


def _helpers(count: int) -> list[_Helper]:
    """Return this many helpers. After a fork, those of the parent process are not alive."""
    if count <= 0:
        return []
    _running[:] = [helper for helper in _running if helper.is_alive()]
    while len(_running) < count:
        _running.append(_Helper())
    return _running[:count]
