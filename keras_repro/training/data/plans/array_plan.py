"""How arrays are handed to `Model.fit` in our order."""

from __future__ import annotations

from typing import Any

import keras

from keras_repro.training.backends.active import backend
from keras_repro.training.data.order.ordered_pipeline import (
    CurrentOrder,
    OrderPolicy,
    ordered_dataset,
    pass_dataset,
)
from keras_repro.training.data.plans.plan import DataPlan, FitData


class ArrayPlan(DataPlan):
    """How arrays are handed to `Model.fit` in our order.

    Args:
        data: the arrays.
        policy: the order.
    """

    ours = True
    restartable = True

    def __init__(self, data: FitData, policy: OrderPolicy) -> None:
        super().__init__(data)
        self._policy = policy
        self._epochs, self._first_step, self._at_once = (0, 1), 0, 1
        self._steps = data.steps_per_epoch
        self._samples = 0
        self._order: CurrentOrder | None = None

    def prepare(self, model: keras.Model, epochs: int, initial_epoch: int, first_step: int) -> None:
        """Is told what is trained, and at which epoch and step it begins."""
        # One batch more than Keras will take, where all are taken: a model may still have to be built on one.
        self._epochs = initial_epoch, max(epochs, initial_epoch + 1) + (first_step > 0)
        self._first_step = first_step
        self._at_once = int(getattr(model, "steps_per_execution", 1) or 1)

    def check_enterable(self) -> None:
        """Arrays can be entered anywhere; so must what is validated on."""
        self.check_validation()

    def first_batch(self) -> Any:
        """The first rows of the arrays; None where they cannot be sliced, as sparse ones."""
        data = self.data
        try:
            return tuple(self._head(value) for value in (data.x, data.y, data.sample_weight))
        except TypeError:
            return None

    def arguments(self) -> dict[str, Any]:
        """The arguments of `fit` that say what to train on."""
        adapter = backend.data_adapters.ordered_adapter(
            self.data.x,
            self.data.y,
            sample_weight=self.data.sample_weight,
            class_weight=self.data.class_weight,
            batch_size=self._policy.batch_size,
            make_dataset=self._dataset,
        )
        self._samples = adapter.samples
        if self._samples == 0:
            raise ValueError("x holds no samples")
        whole = self._policy.steps(self._samples)
        if self._steps is None and whole % self._at_once:
            # Several steps in one call would run over the end of a pass: each pass is its own stream.
            self._order = CurrentOrder(self._samples, self._policy)
            adapter = adapter.of_known_length()
            return {"x": adapter}
        self._steps = self._steps or whole
        return {"x": adapter, "steps_per_epoch": self._steps}

    @property
    def _taken(self) -> int:
        """The steps that Keras takes in an epoch: a call is of `steps_per_execution`, also the last one."""
        if self._steps is None:
            return self._policy.steps(self._samples)
        return -(-self._steps // self._at_once) * self._at_once

    def enter(self, epoch: int) -> None:
        """Is told that an epoch begins."""
        if self._order is not None:
            self._order.enter(epoch, self._first_step if epoch == self._epochs[0] else 0)

    def order_digest(self, epoch: int) -> str:
        """Commits to the order of an epoch."""
        first, last = self._step_range(epoch, epoch + 1)
        return self._policy.digest(self._samples, first_step=first, last_step=last)

    def _head(self, value: Any) -> Any:
        if value is None:
            return None
        return keras.tree.map_structure(lambda array: array[: self._policy.batch_size], value)

    def _step_range(self, first_epoch: int, last_epoch: int) -> tuple[int, int]:
        return first_epoch * self._taken, last_epoch * self._taken

    def _dataset(self, arrays: Any, samples: int, take: Any) -> Any:
        first, last = self._step_range(*self._epochs)
        if self._order is not None:
            return pass_dataset(arrays, samples, self._policy, order=self._order, take=take)
        first += self._first_step
        return ordered_dataset(arrays, samples, self._policy, first_step=first, last_step=last, take=take)
