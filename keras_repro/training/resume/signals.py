"""SIGTERM, SIGHUP and SIGINT during a fit: noted at once, handled when a snapshot can be taken.

with SignalGuard() as guard:
    ...
    if guard.requested:
        guard.exit()

A second signal has its usual effect. Only SIGHUP has none then: the system and a shell may both send it.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, NoReturn


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived; `terminate_process` follows when all files are closed.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class SignalGuard:
    """Note the signals in the main thread of a process; does nothing in other threads."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._handlers: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal arrived."""
        return self._number is not None

    def exit(self) -> NoReturn:
        """Raise the exception of the signal that arrived."""
        if self._number is None or self._number == signal.SIGINT:
            raise KeyboardInterrupt
        raise Terminated(self._number)

    def __enter__(self) -> SignalGuard:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._number = number
        hangup = self._handlers.pop(signal.SIGHUP, None)
        self._restore()
        if hangup is not None:
            self._handlers[signal.SIGHUP] = hangup

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()


def terminate_process(number: int) -> NoReturn:
    """End the process by a signal, or as the script's own handler of it does."""
    signal.raise_signal(number)
    raise SystemExit(128 + number)
