"""A signal ends a command: at once, but never between the start of a child and its entry in the list."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from keras_repro.processes.interruption import SIGNALS, Interruption


class Recorded:
    """A child that notes whether it was ended."""

    ended = False

    def end(self) -> None:
        self.ended = True


@pytest.fixture
def interruption() -> Iterator[Interruption]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield Interruption()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_interrupts_and_is_announced(
    interruption: Interruption, number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    interruption.handle_signals()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)
    assert capfd.readouterr().err == ""  # there is no child
    interruption.add(1, Recorded())
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    interruption.handle_signals()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)
    assert capfd.readouterr().err == f"keras-repro: {number.name}: ending the child processes\n"


def test_second_hangup_is_ignored(interruption: Interruption) -> None:
    interruption.handle_signals()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGHUP)


def test_ignored_signal_stays_ignored(interruption: Interruption) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interruption.handle_signals()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    os.kill(os.getpid(), signal.SIGHUP)


def test_child_that_is_being_started_is_ended_too(interruption: Interruption) -> None:
    child = Recorded()

    def start() -> None:
        with interruption.held():
            os.kill(os.getpid(), signal.SIGTERM)
            interruption.add(1, child)

    interruption.handle_signals()
    with pytest.raises(KeyboardInterrupt):
        start()
    interruption.end_children()
    assert child.ended
