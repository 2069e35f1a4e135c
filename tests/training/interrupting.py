"""Ends a fit at a chosen moment, in the process of the test."""

from __future__ import annotations

import os
import signal
from typing import Any

import keras


class Interrupted(Exception):
    """Stands for whatever ends a process."""


class Interrupts(keras.callbacks.Callback):
    """Ends a fit at a moment: `epoch.step`, `epoch.test` or `epoch.end`."""

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

    def _reached(self, what: Any) -> None:
        if self._moment == f"{self._epoch}.{what}":
            raise Interrupted
        if self._moment == f"{self._epoch}.{what}.signal":
            os.kill(os.getpid(), signal.SIGINT)
