"""Digests of large tensors by blocks: the same on any number of cores. No view is kept."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import numpy as np
import pytest
import xxhash

from keras_repro.training.state import hashing_threads
from keras_repro.training.state.hashing_threads import BLOCK, block_digests


def _array(size: int) -> np.ndarray:
    return np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)


def _expected(array: np.ndarray) -> bytes:
    data = array.tobytes()
    return b"".join(xxhash.xxh3_128_digest(data[i : i + BLOCK]) for i in range(0, len(data), BLOCK))


@pytest.mark.parametrize("cpus", [1, 2, 64])
def test_digests_are_the_same_on_any_number_of_cores(cpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing_threads, "cpu_count", lambda: cpus)
    arrays = [_array(size) for size in (BLOCK - 1, BLOCK, 5 * BLOCK + 3, 4 * BLOCK)]
    digests = block_digests(list(enumerate(arrays)))
    assert digests == [(i, _expected(arrays[i])) for i in (1, 2, 3)]  # the first array is not large
    assert block_digests([]) == []


def test_threads_are_reused_and_keep_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing_threads, "cpu_count", lambda: 2)
    array = _array(8 * BLOCK)
    before = sys.getrefcount(array)
    known: set[Any] = set()
    for _ in range(20):
        block_digests([(0, array)])
        assert sys.getrefcount(array) == before
        known |= {t for t in threading.enumerate() if t.name == "keras_repro hashing"}
    assert known == set(threading.enumerate()) & known


def test_forked_process_starts_its_own_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing_threads, "cpu_count", lambda: 2)
    array = _array(4 * BLOCK)
    expected = block_digests([(0, array)])
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"same" if block_digests([(0, array)]) == expected else b"other")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert os.read(reading, 10) == b"same"
    os.close(reading)
    os.close(writing)


def test_failed_work_of_a_thread_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing_threads, "cpu_count", lambda: 2)
    hasher, main = xxhash.xxh3_128, threading.get_ident()

    def fails_elsewhere() -> Any:
        if threading.get_ident() != main:
            raise MemoryError
        return hasher()

    monkeypatch.setattr(hashing_threads.xxhash, "xxh3_128", fails_elsewhere)
    array = _array(8 * BLOCK)
    assert block_digests([(0, array)]) == [(0, _expected(array))]
