"""How data of any kind is handed to `Model.fit`, and where in it an interrupted fit goes on.

plan = DataPlan(data)
model.fit(**plan.arguments())
kept = plan.kept(epoch_iterator)                 # with a snapshot
plan.go_on(kept, epoch_iterator)                 # in another process
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from keras_repro.training.data.description import is_arrays, stream_kind, validation_parts
from keras_repro.training.data.plans.pipeline_check import Pipeline, check_pipeline
from keras_repro.training.data.plans.py_dataset_check import (
    changes_between_epochs,
    check_py_dataset,
    joins,
    state_of,
)


@dataclass(frozen=True, kw_only=True)
class FitData:
    """The data of one fit, as it was given.

    Attributes:
        x: what `Model.fit` takes.
        y: as for `Model.fit`.
        sample_weight: as for `Model.fit`.
        class_weight: as for `Model.fit`.
        steps_per_epoch: as for `Model.fit`.
        validation_data: as for `Model.fit`.
    """

    x: Any
    y: Any = None
    sample_weight: Any = None
    class_weight: Any = None
    steps_per_epoch: int | None = None
    validation_data: Any = None


class DataPlan:
    """Data that goes to Keras as it is: its order is not ours, and it cannot be entered at a position.

    Args:
        data: the data.
    """

    ours = False
    # Whether it may be begun again just to look at it.
    restartable = False

    def __init__(self, data: FitData) -> None:
        self.data = data

    def arguments(self) -> dict[str, Any]:
        """The arguments of `fit` that say what to train on."""
        names = ("x", "y", "sample_weight", "class_weight", "steps_per_epoch")
        return {name: getattr(self.data, name) for name in names}

    def prepare(self, model: keras.Model, epochs: int, initial_epoch: int, first_step: int) -> None:
        """Is told what is trained, and at which epoch and step it begins."""

    def enter(self, epoch: int) -> None:
        """Is told that an epoch begins."""

    def order_digest(self, epoch: int) -> str:
        """Commits to the order of an epoch, where that is ours."""
        raise NotImplementedError

    def check_enterable(self) -> None:
        """Says why the data cannot be entered at a position, where it cannot.

        Raises:
            TypeError: it cannot.
        """
        raise TypeError(
            f"x: a run on {_named(self.data.x)} cannot be resumed: what it will give next is known to nobody "
            "but itself; give arrays, a PyDataset (a batch for each index) or a tf.data.Dataset, or train "
            "without snapshot_every and resume"
        )

    def first_batch(self) -> Any:
        """`(x, y, sample_weight)` of a batch as the first is; None where none can be had."""
        return None

    def check_validation(self) -> None:
        """Says why what is validated on cannot be gone through again, where it cannot.

        Raises:
            TypeError: it cannot.
        """
        for what, held in self._validation().items():
            if what == "PyDataset":
                check_py_dataset(held, name="validation_data")
            elif what == "tf.data":
                pipeline = Pipeline(held)
                if pipeline.reshuffled:
                    raise TypeError(
                        "validation_data: its shuffle goes on changing, and brings nothing here: leave it out"
                    )
                check_pipeline(pipeline, name="validation_data")
            elif what != "arrays":
                raise TypeError(
                    f"validation_data: {_named(held)} gives its batches once: give arrays, a PyDataset or a "
                    "tf.data.Dataset where a run shall be resumed"
                )

    def details(self, *, content: bool) -> dict[str, Any]:
        """What tells the data from others.

        Args:
            content: whether the data may be touched for it.
        """
        return {}

    def watch(self, epoch_iterator: Any) -> None:
        """Is told, before the first epoch, what Keras takes its batches from."""

    def enter_validation(self) -> None:
        """Is told that the validation that comes next had begun: what Keras does before it was done."""
        held = self._validation().get("PyDataset")
        if held is not None and changes_between_epochs(held):

            def again() -> None:
                del held.on_epoch_end

            held.on_epoch_end = again

    def kept(self, epoch_iterator: Any) -> Any:
        """What of the position in the data a snapshot has to hold, in plain values and arrays."""
        held = self._validation().get("PyDataset")
        return {"validation": None if held is None else state_of(held)}

    def go_on(self, kept: Any, epoch_iterator: Any, step: int) -> None:
        """Goes to the position that `kept` was asked for at.

        Args:
            kept: what it gave.
            epoch_iterator: as for `watch`.
            step: how many steps into an epoch that is; 0 between two.
        """
        held = self._validation().get("PyDataset")
        if held is not None and joins(held) and kept["validation"] is not None:
            held.set_state(kept["validation"])

    def _validation(self) -> dict[str, Any]:
        """What is validated on, by its kind; empty where nothing is."""
        given = self.data.validation_data
        if given is None:
            return {}
        parts = validation_parts(given)
        kind = "arrays" if is_arrays(given) else stream_kind(parts[0]) or type(parts[0]).__name__
        return {kind: parts[0]}


def _named(x: Any) -> str:
    return "a generator" if isinstance(x, Iterator) else f"a {type(x).__name__}"


def parts_of_batch(batch: Any) -> tuple[Any, Any, Any]:
    """`(x, y, sample_weight)` of a batch as data gives one."""
    if isinstance(batch, Mapping):
        return batch, None, None
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    return x, y, sample_weight
