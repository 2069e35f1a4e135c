"""Change the conditions of a launched script's process before the script begins.

    apply_perturbations(cpus=[0])                # one CPU
    apply_perturbations(listings="reversed")     # as on another file system
    apply_perturbations(jit=False)               # no XLA if Keras would choose it
    apply_perturbations(switch_interval=1e-6)    # threads switch far more often

Conditions set by environment variables are set by the parent process instead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from keras_repro.training.backends.active import backend
from keras_repro.training.backends.import_hooks import when_imported
from keras_repro.utils.closeable import Closeable


def apply_perturbations(
    *,
    cpus: Sequence[int] = (),
    listings: str = "",
    jit: bool | None = None,
    switch_interval: float | None = None,
) -> None:
    """Change the conditions of this process; call it before anything else.

    Args:
        cpus: numbers of the CPUs that it may use; empty for no change.
        listings: `"reversed"` reverses Python's folder listings; empty for no change.
        jit: False disables XLA if Keras would choose it (`jit_compile="auto"`); None for no change.
        switch_interval: seconds after which Python switches threads; None for no change.
    """
    if cpus:
        os.sched_setaffinity(0, cpus)
    if listings == "reversed":
        _reverse_listings()
    if switch_interval is not None:
        sys.setswitchinterval(switch_interval)
    if jit is False:
        when_imported(backend.trainer.BASE_TRAINER_MODULE, backend.trainer.disable_auto_jit)


def _reverse_listings() -> None:
    """Reverse `os.listdir` and `os.scandir`, on which `glob`, `os.walk` and `pathlib` build."""
    listdir, scandir = os.listdir, os.scandir

    def reversed_listdir(path: Any = None) -> list[Any]:
        return listdir(path)[::-1]

    def reversed_scandir(path: Any = None) -> Any:
        return _Entries(scandir(path))

    # Both accept file descriptors as before.
    os.supports_fd.update({reversed_listdir, reversed_scandir})
    os.listdir, os.scandir = reversed_listdir, reversed_scandir


class _Entries(Closeable):
    """The entries of `os.scandir` in reverse order."""

    def __init__(self, entries: Any) -> None:
        with entries:
            self._entries = iter(list(entries)[::-1])

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._entries)

    def close(self) -> None:
        """End the listing."""
        self._entries = iter(())
