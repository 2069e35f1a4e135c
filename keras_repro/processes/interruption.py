"""Interrupt a command by a signal: it says so at once, and ends its child processes before it ends.

SIGINT is Ctrl-C, SIGTERM comes from schedulers, SIGHUP if a terminal is closed. A signal that is ignored, as
SIGHUP is under `nohup`, stays ignored.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Protocol

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Running(Protocol):
    def end(self) -> None:
        """End the child, if it still runs."""


class Interruption:
    """The signals of this process, and the child processes that run.

    Attributes:
        children: children that have started and whose end was not seen yet, by process number.
        started: whether there ever was one.
    """

    def __init__(self) -> None:
        self.children: dict[int, _Running] = {}
        self.started = False
        self._held = False
        self._interrupted = False

    def handle_signals(self) -> None:
        """Raise KeyboardInterrupt when a signal arrives."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Delay the exception until the end of the block, in which a child is started and listed."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt

    def add(self, number: int, child: _Running) -> None:
        """List a child that has started."""
        self.children[number], self.started = child, True

    def end_children(self) -> None:
        """End the children that still run."""
        for child in list(self.children.values()):
            child.end()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            signal.signal(number, signal.SIG_IGN)  # both the system and a shell may send it
        if self.children or self._held:
            announce(number, "ending the child processes")
        if not self._held:
            raise KeyboardInterrupt
        self._interrupted = True


INTERRUPTION = Interruption()
"""That of this process."""


def announce(number: int, consequence: str) -> None:
    """Print one line at once, also in the middle of another output, and if the terminal is closed."""
    with contextlib.suppress(OSError):
        os.write(2, f"keras-repro: {signal.Signals(number).name}: {consequence}\n".encode())
