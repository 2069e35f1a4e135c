"""The modules of Keras 3 on TensorFlow, each bound to the protocol that it has to fit."""

from __future__ import annotations

from keras_repro.training.backends import interface, tensorflow_interface
from keras_repro.training.backends.keras3_tf import callbacks as _callbacks
from keras_repro.training.backends.keras3_tf import data_adapters as _data_adapters
from keras_repro.training.backends.keras3_tf import epoch_entry as _epoch_entry
from keras_repro.training.backends.keras3_tf import exact_functions as _exact_functions
from keras_repro.training.backends.keras3_tf import graph_optimizer as _graph_optimizer
from keras_repro.training.backends.keras3_tf import graphs as _graphs
from keras_repro.training.backends.keras3_tf import pipelines as _pipelines
from keras_repro.training.backends.keras3_tf import random_state as _random_state
from keras_repro.training.backends.keras3_tf import trainer as _trainer
from keras_repro.training.backends.keras3_tf import variable_creation as _variable_creation
from keras_repro.training.backends.keras3_tf import variables as _variables

variables: interface.Variables = _variables
variable_creation: interface.VariableCreation = _variable_creation
random_state: interface.RandomState = _random_state
trainer: interface.Trainer = _trainer
epoch_entry: interface.EpochEntry = _epoch_entry
data_adapters: interface.DataAdapters = _data_adapters
callbacks: interface.Callbacks = _callbacks
graphs: tensorflow_interface.Graphs = _graphs
graph_optimizer: tensorflow_interface.GraphOptimizer = _graph_optimizer
exact_functions: tensorflow_interface.ExactFunctions = _exact_functions
pipelines: tensorflow_interface.Pipelines = _pipelines
