"""Base of the plans for data whose order is a function of the seed."""

from __future__ import annotations

from typing import Any

import keras

from keras_repro.training.data.order.ordered_pipeline import OrderPolicy
from keras_repro.training.data.plans.plan import DataPlan, FitData


class OrderedPlan(DataPlan):
    """Pass data to Keras in the order of a policy.

    Args:
        data: the data of the fit.
        policy: the order and the batch size.
    """

    controls_order = True

    def __init__(self, data: FitData, policy: OrderPolicy) -> None:
        super().__init__(data)
        self._policy = policy
        self._size = 0  # what is ordered: samples or batches; 0 if unknown
        self._first_epoch = self._first_step = 0
        self._steps_per_call = 1
        self._pass: Any = None  # yields one pass at a time, if Keras reads the data pass by pass

    def prepare(self, model: keras.Model, epochs: int, initial_epoch: int, first_step: int) -> None:
        self._first_epoch, self._first_step = initial_epoch, first_step
        self._steps_per_call = steps_per_call(model)

    def on_epoch_begin(self, epoch: int) -> None:
        if self._pass is not None:
            self._pass.start(epoch, self._first_step if epoch == self._first_epoch else 0)

    def order_digest(self, epoch: int) -> str:
        steps = self._steps_per_epoch
        return self._policy.digest(self._size, first_step=epoch * steps, last_step=(epoch + 1) * steps)

    @property
    def _steps_per_epoch(self) -> int:
        """The steps that Keras makes in an epoch: with `steps_per_epoch`, the last call is a full one too."""
        steps = self.data.steps_per_epoch
        if steps is None:
            return self._policy.steps(self._size)
        return -(-steps // self._steps_per_call) * self._steps_per_call


def steps_per_call(model: Any) -> int:
    """Return how many steps one call of a model's training function makes."""
    return int(getattr(model, "steps_per_execution", 1) or 1)
