"""The modules of Keras 3 on TensorFlow; the type checker compares each with its protocol."""

from __future__ import annotations

from keras_repro.training.backends.keras3_tf import (
    callbacks,
    data_adapters,
    epoch_entry,
    exact_functions,
    graph_optimizer,
    graphs,
    pipelines,
    random_state,
    trainer,
    variable_creation,
    variables,
)
from keras_repro.training.backends.tensorflow_interface import TensorFlowBackend

backend = TensorFlowBackend(
    variables=variables,
    variable_creation=variable_creation,
    random_state=random_state,
    trainer=trainer,
    epoch_entry=epoch_entry,
    data_adapters=data_adapters,
    callbacks=callbacks,
    graphs=graphs,
    graph_optimizer=graph_optimizer,
    exact_functions=exact_functions,
    pipelines=pipelines,
)
