"""Select the plan for data of any kind."""

from __future__ import annotations

from keras_repro.training.backends.active import backend
from keras_repro.training.data.description import stream_kind
from keras_repro.training.data.order.ordered_pipeline import OrderPolicy
from keras_repro.training.data.plans.array_plan import ArrayPlan
from keras_repro.training.data.plans.dataset_plan import DatasetPlan
from keras_repro.training.data.plans.plan import DataPlan, FitData
from keras_repro.training.data.plans.py_dataset_plan import PyDatasetPlan


def plan_of(data: FitData, policy: OrderPolicy) -> DataPlan:
    """Return the plan for the data of a fit.

    Args:
        data: the data.
        policy: the trainer's order and batch size.
    """
    if backend.data_adapters.is_array_like(data.x, data.y, data.sample_weight):
        return ArrayPlan(data, policy)
    alone = data.y is None and data.sample_weight is None  # otherwise Keras raises its own error
    kind = stream_kind(data.x)
    if kind == "PyDataset" and alone:
        return PyDatasetPlan(data, policy)
    return DatasetPlan(data) if kind == "tf.data" and alone else DataPlan(data)
