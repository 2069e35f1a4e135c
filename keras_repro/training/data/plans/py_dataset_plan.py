"""How a `PyDataset` is handed to `Model.fit`: its batches in our order, entered at any of them."""

from __future__ import annotations

from typing import Any

import keras

from keras_repro.training.backends.active import backend
from keras_repro.training.data.order.ordered_pipeline import OrderPolicy
from keras_repro.training.data.order.permutation import permutation, permuted
from keras_repro.training.data.plans.plan import DataPlan, FitData, parts_of_batch
from keras_repro.training.data.plans.py_dataset_check import batch_digest, check_py_dataset, joins, state_of


class PyDatasetPlan(DataPlan):
    """How a `PyDataset` is handed to `Model.fit`.

    Without `steps_per_epoch`, an epoch is a pass over its batches, and an iterator of its own. With it, and
    where the number of batches is not known, Keras takes one stream over all passes.

    Args:
        data: the dataset, as `x`.
        policy: the order; that of the batches, not of what is in them.
    """

    def __init__(self, data: FitData, policy: OrderPolicy) -> None:
        super().__init__(data)
        self._count = data.x.num_batches
        if self._count == 0:
            raise ValueError("x holds no batches")
        self.ours = self._count is not None
        self._policy = OrderPolicy(seed=policy.seed, batch_size=1, shuffle=policy.shuffle)
        self._ordered = _Ordered(data.x, self._policy, passes=self.ours and data.steps_per_epoch is None)
        self._began: tuple[int, int] = (0, 0)
        self._taken = self._count or 0

    def prepare(self, model: keras.Model, epochs: int, initial_epoch: int, first_step: int) -> None:
        """Is told what is trained, and at which epoch and step it begins."""
        steps = self.data.steps_per_epoch
        if steps is not None:
            at_once = int(getattr(model, "steps_per_execution", 1) or 1)
            self._taken = -(-steps // at_once) * at_once
        self._began = initial_epoch, first_step
        if self._ordered.passes:
            self.enter(initial_epoch)
        else:
            self._ordered.first = initial_epoch * self._taken + first_step

    def enter(self, epoch: int) -> None:
        """Is told that an epoch begins."""
        if self._ordered.passes:
            self._ordered.enter(epoch, self._began[1] if epoch == self._began[0] else 0)

    def arguments(self) -> dict[str, Any]:
        """The arguments of `fit` that say what to train on."""
        adapter = backend.data_adapters.py_dataset_adapter(
            self._ordered,
            like=self.data.x,
            class_weight=self.data.class_weight,
            batches=self._count if self._ordered.passes else None,
        )
        return {"x": adapter, "steps_per_epoch": self.data.steps_per_epoch}

    def order_digest(self, epoch: int) -> str:
        """Commits to the order of an epoch."""
        first, last = epoch * self._taken, (epoch + 1) * self._taken
        return self._policy.digest(self._count, first_step=first, last_step=last)

    def check_enterable(self) -> None:
        """Says why it cannot be entered at a position, where it cannot."""
        check_py_dataset(self.data.x, name="x", steps=self.data.steps_per_epoch is not None)
        self.check_validation()

    def first_batch(self) -> Any:
        """`(x, y, sample_weight)` of its first batch."""
        return parts_of_batch(self.data.x[0])

    def details(self, *, content: bool) -> dict[str, Any]:
        """What tells the data from others."""
        details: dict[str, Any] = {} if self._count is None else {"order": "keras_repro"}
        if content:
            details |= {"batches": self._count, "first": batch_digest(self.data.x[0])}
        return details | super().details(content=content)

    def kept(self, epoch_iterator: Any) -> Any:
        """What the dataset keeps between epochs."""
        return {"state": state_of(self.data.x), **super().kept(epoch_iterator)}

    def go_on(self, kept: Any, epoch_iterator: Any, step: int) -> None:
        """Gives the dataset what it kept."""
        super().go_on(kept, epoch_iterator, step)
        if joins(self.data.x) and kept["state"] is not None:
            self.data.x.set_state(kept["state"])
        self._ordered.has_begun = step > 0


class _Ordered(keras.utils.PyDataset):
    """The batches of a `PyDataset` in our order, from one of them on."""

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

    def enter(self, epoch: int, step: int) -> None:
        """Goes to a pass, and in it to a step."""
        self.first = step
        policy = self.policy
        self.order = permutation(
            self.inner.num_batches, seed=policy.seed, epoch=epoch, shuffle=policy.shuffle
        )

    @property
    def num_batches(self) -> int | None:
        return self.inner.num_batches - self.first if self.passes else None

    def __getitem__(self, index: int) -> Any:
        place = self.first + index
        if self.passes:
            return self.inner[int(self.order[place])]
        count = self.inner.num_batches
        if count is None:
            return self.inner[place]
        number, position = divmod(place, count)
        policy = self.policy
        return self.inner[
            int(permuted(count, seed=policy.seed, epoch=number, position=position, shuffle=policy.shuffle))
        ]

    def begin_epoch(self) -> None:
        """Tells the dataset that an epoch begins, before the first of its batches is made."""
        # The epoch that is entered in its middle had begun before it was interrupted.
        begun, self.has_begun = self.has_begun, False
        if not begun:
            self.inner.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.inner.on_epoch_end()
