"""A process that was told to end does so, whatever it waits for."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from keras_repro.processes.protocol import DIVERGED

PROGRAM = """
import queue, signal, threading
from concurrent.futures import ThreadPoolExecutor
from keras_repro.training.instrumentation.stop_on_divergence import end_in_time

full = queue.Queue(maxsize=1)
full.put(0)
"""
INTERRUPTED = """
end_in_time(1)
try:
    full.put(1)
except KeyboardInterrupt:
    print("interrupted")
"""
POOL = """
with ThreadPoolExecutor() as pool:
    pool.submit(full.put, 1)
    end_in_time(1)
"""
THREAD = """
threading.Thread(target=full.put, args=[1]).start()
end_in_time(1)
"""
IGNORED = """
signal.signal(signal.SIGINT, signal.SIG_IGN)
end_in_time(1)
full.put(1)
"""


@pytest.mark.parametrize(
    ("lines", "codes", "output"),
    [
        ("end_in_time(600)", {0}, ""),
        # The main thread is interrupted first, so that it cleans up.
        (INTERRUPTED, {0}, "interrupted\n"),
        # Some versions of Python end after the interruption, others wait for the thread again.
        (POOL, {-signal.SIGINT, DIVERGED}, ""),
        (THREAD, {0, DIVERGED}, ""),
        (IGNORED, {DIVERGED}, ""),
    ],
)
def test_process_that_waits_for_ever_is_ended(lines: str, codes: set[int], output: str) -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM + lines], capture_output=True, text=True)
    assert result.returncode in codes
    assert result.stdout == output
