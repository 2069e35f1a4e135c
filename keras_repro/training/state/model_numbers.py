"""Number models in the order in which they are first asked for."""

from __future__ import annotations

import threading
import weakref
from typing import Any


class ModelNumbers:
    """Numbers of models, from 0. A number is given once, also if its model no longer exists."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: list[weakref.ref[Any]] = []

    def number_of(self, model: Any) -> int:
        """Return the number of a model."""
        with self._lock:
            for number, reference in enumerate(self._models):
                if reference() is model:
                    return number
            self._models.append(weakref.ref(model))
            return len(self._models) - 1

    def model(self, number: int) -> Any:
        """Return the model with a number; a new object if it no longer exists."""
        found = self._models[number]()
        return _Gone() if found is None else found


class _Gone:
    """Takes the place of a model that no longer exists."""
