"""The parts of this backend, checked against the interface."""

from __future__ import annotations

from keras_repro.training.backends.keras3_tf import callbacks as callbacks
from keras_repro.training.backends.keras3_tf import data_adapters as data_adapters
from keras_repro.training.backends.keras3_tf import epoch_entry as epoch_entry
from keras_repro.training.backends.keras3_tf import exact_functions as exact_functions
from keras_repro.training.backends.keras3_tf import graph_optimizer as graph_optimizer
from keras_repro.training.backends.keras3_tf import graphs as graphs
from keras_repro.training.backends.keras3_tf import pipelines as pipelines
from keras_repro.training.backends.keras3_tf import random_state as random_state
from keras_repro.training.backends.keras3_tf import trainer as trainer
from keras_repro.training.backends.keras3_tf import variable_creation as variable_creation
from keras_repro.training.backends.keras3_tf import variables as variables
