"""SIGTERM and SIGINT during a fit: noted at once, handled when a snapshot can be taken.

with SignalGuard() as guard:
    ...
    if guard.requested:
        guard.exit()

A second signal has its usual effect.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, NoReturn


class Terminated(BaseException):
    """SIGTERM arrived; `terminate_process` follows when all files are closed."""


class SignalGuard:
    """Note the two signals in the main thread of a process; does nothing in other threads."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._handlers: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal arrived."""
        return self._number is not None

    def exit(self) -> NoReturn:
        """Raise the exception of the signal that arrived."""
        raise Terminated if self._number == signal.SIGTERM else KeyboardInterrupt

    def __enter__(self) -> SignalGuard:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()


def terminate_process() -> NoReturn:
    """End the process by SIGTERM, or as the script's own handler does."""
    signal.raise_signal(signal.SIGTERM)
    raise SystemExit(128 + signal.SIGTERM)
