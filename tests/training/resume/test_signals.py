"""SIGTERM, SIGHUP and SIGINT during a fit: the first signal is noted, the second has its usual effect."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from keras_repro.training.resume.signals import SignalGuard, Terminated


def test_first_signal_is_noted_and_second_is_raised() -> None:
    with SignalGuard() as guard:
        assert not guard.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert guard.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_second_signal_of_the_other_kind_is_raised_too() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with SignalGuard() as guard:
        os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGTERM) is before
        with pytest.raises(KeyboardInterrupt):
            guard.exit()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_exit_raises_the_exception_of_the_signal(number: int) -> None:
    with SignalGuard() as guard:
        os.kill(os.getpid(), number)
        with pytest.raises(Terminated) as raised:
            guard.exit()
    assert raised.value.number == number


def test_second_hangup_has_no_effect() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with SignalGuard() as guard:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            assert guard.requested
            assert signal.getsignal(signal.SIGTERM) is before


def test_handlers_are_restored() -> None:
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with SignalGuard():
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with SignalGuard() as guard:
            os.kill(os.getpid(), signal.SIGINT)
            assert not guard.requested
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_thread_gets_no_signal() -> None:
    requested: list[bool] = []

    def run() -> None:
        with SignalGuard() as guard:
            requested.append(guard.requested)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert requested == [False]
