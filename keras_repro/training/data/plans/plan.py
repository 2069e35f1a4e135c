"""How data of any kind is passed to `Model.fit`, and how an interrupted fit returns to its position in it.

plan = plan_of(data, policy)
model.fit(**plan.arguments())
state = plan.state(epoch_iterator)               # with a snapshot
plan.restore(state, epoch_iterator, step)        # in another process
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from keras_repro.training.data.description import is_arrays, stream_kind, validation_parts
from keras_repro.training.data.plans.pipeline_check import Pipeline, check_pipeline
from keras_repro.training.data.plans.py_dataset_check import changes_between_epochs, check_py_dataset
from keras_repro.training.state.user_state import restore_state, state_of


@dataclass(frozen=True, kw_only=True)
class FitData:
    """The data of one fit. Each attribute is the argument of `Model.fit` with the same name."""

    x: Any
    y: Any = None
    sample_weight: Any = None
    class_weight: Any = None
    steps_per_epoch: int | None = None
    validation_data: Any = None


class DataPlan:
    """Pass data to Keras unchanged: its order is not controlled, and its position cannot be restored.

    Args:
        data: the data of the fit.

    Attributes:
        controls_order: whether the order is a function of the seed, so that it has a digest.
        restartable: whether a batch may be drawn from Keras's iterator without effect on the training.
    """

    controls_order = False
    restartable = False

    def __init__(self, data: FitData) -> None:
        self.data = data

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `fit` for the training data."""
        names = ("x", "y", "sample_weight", "class_weight", "steps_per_epoch")
        return {name: getattr(self.data, name) for name in names}

    def prepare(self, model: keras.Model, epochs: int, initial_epoch: int, first_step: int) -> None:
        """Called before `arguments`, with the model and the epoch and step at which training begins."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Called at the start of an epoch."""

    def order_digest(self, epoch: int) -> str:
        """Return a digest of an epoch's order, if the plan controls it."""
        raise NotImplementedError

    def check_resumable(self) -> None:
        """Raise TypeError if training cannot be resumed in the middle of this data."""
        raise TypeError(
            f"x: a run on {_kind_text(self.data.x)} cannot be resumed, because its position cannot be "
            "restored: use arrays, a PyDataset (one batch per index) or a tf.data.Dataset, or train without "
            "snapshot_every and resume"
        )

    def first_batch(self) -> Any:
        """Return `(x, y, sample_weight)` of a batch like the first; None if that is not possible."""
        return None

    def check_validation(self) -> None:
        """Raise TypeError if the validation data may differ in a second pass."""
        given = self.data.validation_data
        if given is None or is_arrays(given):
            return
        x = validation_parts(given)[0]
        kind = stream_kind(x)
        if kind == "PyDataset":
            check_py_dataset(x, name="validation_data")
        elif kind == "tf.data":
            pipeline = Pipeline(x)
            if pipeline.reshuffled:
                raise TypeError(
                    "validation_data: the dataset reshuffles on every pass, which has no benefit for "
                    "validation: remove the shuffle"
                )
            check_pipeline(pipeline, name="validation_data")
        else:
            raise TypeError(
                f"validation_data: {_kind_text(x)} can be read only once: use arrays, a PyDataset or a "
                "tf.data.Dataset in a run that can be resumed"
            )

    def details(self, *, content: bool) -> dict[str, Any]:
        """Return what identifies the data in the ledger.

        Args:
            content: whether batches may be read for it.
        """
        return {}

    def watch(self, epoch_iterator: Any) -> None:
        """Called before the first epoch, with the object from which Keras takes its batches."""

    def resume_validation(self) -> None:
        """Called if training is resumed during validation, which Keras then starts again."""
        dataset = self._validation_dataset()
        if dataset is not None and changes_between_epochs(dataset):

            def skip_once() -> None:
                del dataset.on_epoch_end

            dataset.on_epoch_end = skip_once  # the interrupted process has called it already

    def state(self, epoch_iterator: Any) -> Any:
        """Return the position in the data, as plain values and arrays."""
        return {"validation": state_of(self._validation_dataset())}

    def restore(self, state: Any, epoch_iterator: Any, step: int) -> None:
        """Return to a position.

        Args:
            state: the result of `state`.
            epoch_iterator: as for `watch`.
            step: completed steps of the epoch; 0 between two epochs.
        """
        restore_state(self._validation_dataset(), state["validation"])

    def _validation_dataset(self) -> Any:
        """Return the `PyDataset` used for validation, None if it is other data."""
        given = self.data.validation_data
        if given is None or is_arrays(given):
            return None
        x = validation_parts(given)[0]
        return x if stream_kind(x) == "PyDataset" else None


def unpack_batch(batch: Any) -> tuple[Any, Any, Any]:
    """Return `(x, y, sample_weight)` of a batch that a dataset yields."""
    if isinstance(batch, Mapping):
        return batch, None, None
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    return x, y, sample_weight


def _kind_text(x: Any) -> str:
    return "a generator" if isinstance(x, Iterator) else f"a {type(x).__name__}"
