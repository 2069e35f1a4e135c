"""SIGTERM and SIGINT during a fit: heard at once, acted on where the state can be kept.

with Interruptions() as interruptions:
    ...
    if interruptions.asked:
        interruptions.leave()

A second signal does what it would have done without us.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, NoReturn


class Terminated(BaseException):
    """SIGTERM came; `leave_the_process` follows once all is closed."""


class SignalGuard:
    """Hears the two signals, in the main thread of a process; elsewhere it hears nothing."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return self._number is not None

    def leave(self) -> NoReturn:
        """Leaves as the signal would have had it."""
        if self._number == signal.SIGTERM:
            raise Terminated
        raise KeyboardInterrupt

    def __enter__(self) -> SignalGuard:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()


def leave_the_process() -> NoReturn:
    """Ends the process by SIGTERM, or as its own handler of it does."""
    signal.raise_signal(signal.SIGTERM)
    raise SystemExit(128 + signal.SIGTERM)
