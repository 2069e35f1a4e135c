"""How arrays are handed to `Model.fit` in our order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from keras_repro.control.data import HeldOrder, OrderPolicy, ordered_dataset, pass_dataset
from keras_repro.training import keras_api


class ArrayPlan:
    """How arrays are handed to `Model.fit` in our order."""

    def __init__(
        self,
        policy: OrderPolicy,
        model: keras.Model,
        epochs: int,
        initial_epoch: int,
        steps_per_epoch: int | None,
        *,
        first_step: int = 0,
    ) -> None:
        self._policy = policy
        # One batch more than Keras will take, where all are taken: a model may still have to be built on one.
        self._epochs = initial_epoch, max(epochs, initial_epoch + 1) + (first_step > 0)
        self._first_step = first_step
        self._steps = steps_per_epoch
        self._at_once = int(getattr(model, "steps_per_execution", 1) or 1)
        self._samples = 0
        self._order: HeldOrder | None = None

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of `fit` that say what to train on."""
        adapter = keras_api.ordered_adapter(
            given["x"],
            given["y"],
            sample_weight=given["sample_weight"],
            class_weight=given["class_weight"],
            batch_size=self._policy.batch_size,
            make_dataset=self._dataset,
        )
        self._samples = adapter.samples
        if self._samples == 0:
            raise ValueError("x holds no samples")
        whole = self._policy.steps(self._samples)
        if self._steps is None and whole % self._at_once:
            # Several steps in one call would run over the end of a pass: each pass is its own stream.
            self._order = HeldOrder(self._samples, self._policy)
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

    def _step_range(self, first_epoch: int, last_epoch: int) -> tuple[int, int]:
        return first_epoch * self._taken, last_epoch * self._taken

    def _dataset(self, arrays: Any, samples: int, take: Any) -> Any:
        first, last = self._step_range(*self._epochs)
        if self._order is not None:
            return pass_dataset(arrays, samples, self._policy, order=self._order, take=take)
        first += self._first_step
        return ordered_dataset(arrays, samples, self._policy, first_step=first, last_step=last, take=take)
