"""Surroundings that a launched script's own process changes, before the script begins.

    vary(cpus=[0])           # one CPU
    vary(listings="reversed")    # another file system
    vary(jit=False)          # no XLA where Keras would choose it
    vary(switch_interval=1e-6)   # threads that take turns far more often

Variables act before Python starts and are the launcher's; this is what no variable does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import wrapt

from keras_repro.training.backends.active import backend


def apply_perturbations(
    *,
    cpus: Sequence[int] = (),
    listings: str = "",
    jit: bool | None = None,
    switch_interval: float | None = None,
) -> None:
    """Changes this process's surroundings; call it before anything else.

    Args:
        cpus: numbers of the CPUs that it may use; none leaves them as they are.
        listings: `"reversed"` gives Python's listings of folders in the opposite order.
        jit: False takes XLA away where Keras would choose it by itself (`jit_compile="auto"`).
        switch_interval: seconds after which Python lets another thread go on.
    """
    if cpus:
        os.sched_setaffinity(0, cpus)
    if listings == "reversed":
        _reverse_listings()
    if switch_interval is not None:
        sys.setswitchinterval(switch_interval)
    if jit is False:
        wrapt.register_post_import_hook(backend.trainer.disable_auto_jit, backend.trainer.BASE_TRAINER_MODULE)


def _reverse_listings() -> None:
    """`os.listdir` and `os.scandir` the other way round; `glob`, `os.walk` and `pathlib` ask these."""
    listdir, scandir = os.listdir, os.scandir

    def other_listdir(path: Any = None) -> list[Any]:
        return listdir(path)[::-1]

    def other_scandir(path: Any = None) -> Any:
        return _Entries(scandir(path))

    # What may be asked by file descriptor stays so.
    os.supports_fd.update({other_listdir, other_scandir})
    os.listdir, os.scandir = other_listdir, other_scandir


class _Entries:
    """What `os.scandir` gives, in the opposite order."""

    def __init__(self, entries: Any) -> None:
        with entries:
            self._entries = iter(list(entries)[::-1])

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._entries)

    def close(self) -> None:
        """Ends the listing."""
        self._entries = iter(())

    def __enter__(self) -> _Entries:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
