"""Pass arrays to `Model.fit` in our order."""

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
from keras_repro.training.data.plans.ordered_plan import OrderedPlan
from keras_repro.training.data.plans.plan import FitData


class ArrayPlan(OrderedPlan):
    """Pass arrays to `Model.fit` in our order.

    Args:
        data: the arrays.
        policy: the order and the batch size.
    """

    restartable = True

    def __init__(self, data: FitData, policy: OrderPolicy) -> None:
        super().__init__(data, policy)
        self._last_epoch = 1
        self._pass: CurrentOrder | None = None

    def prepare(self, model: keras.Model, epochs: int, initial_epoch: int, first_step: int) -> None:
        super().prepare(model, epochs, initial_epoch, first_step)
        # At least one batch more than Keras takes: a model may still have to be built on one.
        self._last_epoch = max(epochs, initial_epoch + 1) + (first_step > 0)

    def check_resumable(self) -> None:
        self.check_validation()

    def first_batch(self) -> Any:
        """Return the first rows of the arrays; None if they cannot be sliced, such as sparse ones."""

        def head(value: Any) -> Any:
            return keras.tree.map_structure(lambda array: array[: self._policy.batch_size], value)

        values = (self.data.x, self.data.y, self.data.sample_weight)
        try:
            return tuple(None if value is None else head(value) for value in values)
        except TypeError:
            return None

    def arguments(self) -> dict[str, Any]:
        adapter = backend.data_adapters.ordered_adapter(
            self.data.x,
            self.data.y,
            sample_weight=self.data.sample_weight,
            class_weight=self.data.class_weight,
            batch_size=self._policy.batch_size,
            make_dataset=self._dataset,
        )
        self._size = adapter.samples
        if self._size == 0:
            raise ValueError("x holds no samples")
        steps = self.data.steps_per_epoch or self._policy.steps(self._size)
        if self.data.steps_per_epoch is None and steps % self._steps_per_call:
            # A call would run across the end of a pass: each pass is a dataset of its own.
            self._pass = CurrentOrder(self._size, self._policy)
            adapter.one_pass = True
            return {"x": adapter}
        return {"x": adapter, "steps_per_epoch": steps}

    def _dataset(self, arrays: Any, samples: int, take: Any) -> Any:
        if self._pass is not None:
            return pass_dataset(arrays, samples, self._policy, order=self._pass, take=take)
        steps = self._steps_per_epoch
        first, last = self._first_epoch * steps + self._first_step, self._last_epoch * steps
        return ordered_dataset(arrays, samples, self._policy, first_step=first, last_step=last, take=take)
