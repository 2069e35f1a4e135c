"""Pass the batches of a `PyDataset` to `Model.fit` in our order, from any of them on."""

from __future__ import annotations

from typing import Any

import keras

from keras_repro.training.backends.active import backend
from keras_repro.training.data.order.ordered_pipeline import OrderPolicy
from keras_repro.training.data.order.permutation import permutation, permuted
from keras_repro.training.data.plans.ordered_plan import OrderedPlan
from keras_repro.training.data.plans.plan import FitData, unpack_batch
from keras_repro.training.data.plans.py_dataset_check import batch_digest, check_py_dataset
from keras_repro.training.state.user_state import restore_state, state_of


class PyDatasetPlan(OrderedPlan):
    """Pass a `PyDataset` to `Model.fit`.

    Without `steps_per_epoch`, an epoch is one pass over its batches, with an iterator of its own. With
    `steps_per_epoch`, or if the number of batches is unknown, Keras reads one stream across all passes.

    Args:
        data: the dataset, as `x`.
        policy: the order of the batches; not of the samples in them.
    """

    def __init__(self, data: FitData, policy: OrderPolicy) -> None:
        super().__init__(data, OrderPolicy(seed=policy.seed, batch_size=1, shuffle=policy.shuffle))
        count = data.x.num_batches
        if count == 0:
            raise ValueError("x holds no batches")
        self._size = count or 0
        self.controls_order = count is not None
        passes = self.controls_order and data.steps_per_epoch is None
        self._batches = _OrderedBatches(data.x, self._policy, passes=passes)
        self._pass = self._batches if passes else None

    def prepare(self, model: keras.Model, epochs: int, initial_epoch: int, first_step: int) -> None:
        super().prepare(model, epochs, initial_epoch, first_step)
        self._batches.first = initial_epoch * self._steps_per_epoch + first_step
        self.on_epoch_begin(initial_epoch)

    def arguments(self) -> dict[str, Any]:
        adapter = backend.data_adapters.py_dataset_adapter(
            self._batches,
            like=self.data.x,
            class_weight=self.data.class_weight,
            batches=None if self._pass is None else self._size,
        )
        return {"x": adapter, "steps_per_epoch": self.data.steps_per_epoch}

    def check_resumable(self) -> None:
        check_py_dataset(self.data.x, name="x", steps=self.data.steps_per_epoch is not None)
        self.check_validation()

    def first_batch(self) -> Any:
        return unpack_batch(self.data.x[0])

    def details(self, *, content: bool) -> dict[str, Any]:
        details: dict[str, Any] = {"order": "keras_repro"} if self.controls_order else {}
        if content:
            details |= {"batches": self._size or None, "first": batch_digest(self.data.x[0])}
        return details

    def state(self, epoch_iterator: Any) -> Any:
        return {"state": state_of(self.data.x), **super().state(epoch_iterator)}

    def restore(self, state: Any, epoch_iterator: Any, step: int) -> None:
        super().restore(state, epoch_iterator, step)
        restore_state(self.data.x, state["state"])
        self._batches.has_begun = step > 0


class _OrderedBatches(keras.utils.PyDataset):
    """The batches of a `PyDataset` in our order, from a chosen one on."""

    def __init__(self, inner: Any, policy: OrderPolicy, *, passes: bool) -> None:
        super().__init__(
            workers=inner.workers,
            use_multiprocessing=inner.use_multiprocessing,
            max_queue_size=inner.max_queue_size,
        )
        self.inner, self.policy, self.passes = inner, policy, passes
        self.first = 0
        self.order: Any = None
        self.has_begun = False

    def start(self, number: int, step: int = 0) -> None:
        """Go to a step of a pass."""
        self.first = step
        self.order = permutation(
            self.inner.num_batches, seed=self.policy.seed, epoch=number, shuffle=self.policy.shuffle
        )

    @property
    def num_batches(self) -> int | None:
        return self.inner.num_batches - self.first if self.passes else None

    def __getitem__(self, index: int) -> Any:
        place = self.first + index
        if self.passes:
            return self.inner[int(self.order[place])]
        count = self.inner.num_batches
        if count is not None:
            number, position = divmod(place, count)
            place = permuted(
                count, seed=self.policy.seed, epoch=number, position=position, shuffle=self.policy.shuffle
            )
        return self.inner[place]

    def begin_epoch(self) -> None:
        """Call the dataset's `on_epoch_begin`, before the first batch of the epoch is made."""
        # The interrupted process has called it already for an epoch that is resumed in its middle.
        begun, self.has_begun = self.has_begun, False
        if not begun:
            self.inner.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.inner.on_epoch_end()
