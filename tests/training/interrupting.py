"""Interrupt a fit at a chosen moment, within the process of the test."""

from __future__ import annotations

import os
import signal
from typing import Any

import keras


class Interrupted(Exception):
    """Represent the end of a process."""


class Interrupts(keras.callbacks.Callback):
    """Interrupt a fit at `epoch.step`, `epoch.test` or `epoch.end`; with `.signal` appended, by SIGINT."""

    def __init__(self, moment: str = "") -> None:
        super().__init__()
        self._moment = moment

    def get_state(self) -> Any:
        return None

    def set_state(self, state: Any) -> None:
        pass

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._reached(batch)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._reached("test")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._reached("end")

    def _reached(self, event: Any) -> None:
        if self._moment == f"{self._epoch}.{event}":
            raise Interrupted
        if self._moment == f"{self._epoch}.{event}.signal":
            os.kill(os.getpid(), signal.SIGINT)
