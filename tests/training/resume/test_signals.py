"""The two signals during a fit: the first is kept for later, a second does what it would have done."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from keras_repro.training.resume.signals import SignalGuard, Terminated


def test_a_first_signal_is_kept_and_a_second_leaves_at_once() -> None:
    with SignalGuard() as guard:
        assert not guard.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert guard.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_second_signal_of_the_other_kind_leaves_too() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with SignalGuard() as guard:
        os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGTERM) is before
        with pytest.raises(KeyboardInterrupt):
            guard.exit()


def test_it_leaves_as_the_signal_would_have_it() -> None:
    with SignalGuard() as guard:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Terminated):
            guard.exit()


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with SignalGuard():
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with SignalGuard() as guard:
            os.kill(os.getpid(), signal.SIGINT)
            assert not guard.requested
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_hears_nothing() -> None:
    heard: list[bool] = []

    def run() -> None:
        with SignalGuard() as guard:
            heard.append(guard.requested)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert heard == [False]
