"""What a backend offers: one protocol for each of its modules.

A backend is a folder next to this file. Its `backend.py` binds modules to protocols: the type checker reports
what is missing. `active.py` chooses the backend.

Models, variables, tensors, datasets and frames are the framework's own objects: their type here is `Any`.
`Backend` is what every framework needs. `TensorFlowBackend` adds what only TensorFlow has: Keras 2 and
Estimators offer it too, JAX and PyTorch do not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

Undo = Callable[[], None]
"""Ends a hook and restores what was there before."""


class Variables(Protocol):
    """Variables, the objects that hold them, and zero-copy reads of their values."""

    @property
    def KERAS_LISTS(self) -> tuple[str, ...]:
        """Attributes in which the framework lists what other attributes of an object hold too."""

    def is_keras_variable(self, value: Any) -> bool: ...
    def is_saveable(self, value: Any) -> bool:
        """Return whether a value is a layer, model, optimizer, metric or loss."""

    def is_graph_of_layers(self, value: Any) -> bool:
        """Return whether a value is a model whose `layers` are its structure."""

    def raw_variable(self, variable: Any) -> Any:
        """Return the framework's variable behind one of Keras, None while it has no value."""

    def value_of(self, variable: Any) -> Any:
        """Return the same for a `keras.Variable` without importing anything."""

    def reader(self, variables: Sequence[Any]) -> Callable[[], list[Any]]:
        """Return a function that reads the same variables again and again, without a copy if possible."""

    def read_all(self, variables: Sequence[Any]) -> list[Any]:
        """Read variables once."""

    def variables_of(self, model: Any) -> list[Any]:
        """Return the variables of a model that have a value."""

    def trained_variables(self, optimizer: Any) -> list[Any]:
        """Return the variables that an optimizer was built for, in the order of its slots."""

    def seed_generators(self, layer: Any) -> list[Any]: ...
    def tracked_objects(self, model: Any) -> list[Any]:
        """Return what the framework tracks below a model, also what Keras does not list."""


class VariableCreation(Protocol):
    """Hooks into the creation of variables."""

    def watch_initial_values(self, is_active: Callable[[], Any], report: Callable[[Any], None]) -> None:
        """Report each variable of a model once it has its initial value."""

    def watch_variables(self, report: Callable[[Any], None]) -> None:
        """Report each variable that the user's code makes."""


class RandomState(Protocol):
    """The framework's global random state. Nothing here draws, or makes a generator."""

    def capture(self) -> dict[str, Any]: ...
    def restore(self, states: Mapping[str, Any]) -> None: ...
    def global_seed_generator(self) -> Any:
        """Return Keras's global seed generator, None if it does not exist yet."""

    def seeds_set(self) -> dict[str, int | None]:
        """Return the seeds that the program has set, by library."""

    def wrap_operation_seeds(self, wrapper: Callable[..., Any]) -> None:
        """Wrap the function that seeds operations; its result is `(None, None)` if nothing does."""

    def state_variable(self, generator: Any) -> Any:
        """Return the variable with a generator's state, None if it has none yet."""


class Trainer(Protocol):
    """Hooks into the trainer, and what a model tells about its training."""

    @property
    def TRAINER_MODULE(self) -> str:
        """The module whose import gives the class of `trainer_class`."""

    @property
    def BASE_TRAINER_MODULE(self) -> str: ...
    @property
    def OPTIMIZER_MODULE(self) -> str: ...
    @property
    def DATASET_UTILS_MODULE(self) -> str: ...
    @property
    def OTHER_TRAINERS(self) -> Mapping[str, tuple[str, str]]:
        """Modules of trainers that this backend does not record: their name for people and their class."""

    def trainer_class(self) -> Any: ...
    def disable_auto_jit(self, module: Any) -> None: ...
    def asks_for_xla(self, model: Any) -> bool: ...
    def inner_model(self, model: Any) -> Any:
        """Return the model that another one makes for itself, None if there is none."""

    def has_call(self, model: Any) -> bool:
        """Return whether a model's class defines the forward pass."""

    def build_on(self, model: Any, batch: Any) -> None:
        """Build a model, its metrics and its optimizer for a batch, without a step."""

    def make_function(self, model: Any, step: Any) -> Any:
        """Return a function over an iterator, made of a step as the framework makes one."""

    def flat_layers(self, model: Any, *, include_self: bool = False) -> list[Any]: ...
    def calling_list(self, frame: Any) -> Any:
        """Return the list of callbacks that calls from a frame or above it, else None."""

    def is_made_by_sequential(self, frame: Any) -> bool: ...
    def watch_name_scopes(self, report: Callable[[str, str], None]) -> Undo:
        """Report the name scope in the graph and the name of each layer that is called."""

    def versions(self) -> dict[str, str]:
        """Return the versions of the loaded frameworks."""


class DataPosition(Protocol):
    """How far `fit` has read a stream of data."""

    def state(self) -> dict[str, Any]: ...
    def restore(self, state: Mapping[str, Any], *, step: int, reshuffled: bool) -> None: ...


class EpochEntry(Protocol):
    """The object from which `fit` takes its batches, and entering an epoch at a step."""

    def calling_epoch_iterator(self, frame: Any) -> Any:
        """Return the epoch iterator of the `fit` that calls from a frame or above it, else None."""

    def watch_data_adapters(self, report: Callable[[Any], None]) -> Undo: ...
    def spec_of_batches(self, epoch_iterator: Any) -> Any:
        """Return the element spec of the batches, None if batches cannot be passed on."""

    def new_iterator(self, epoch_iterator: Any) -> Iterator[Any]: ...
    def steps_not_made(self, epoch_iterator: Any) -> int:
        """Return by how many steps the framework counts too far at the end of an epoch."""

    def start_epoch_at_step(
        self, model: Any, epoch_iterator: Any, *, step: int | None, logs: Mapping[str, Any]
    ) -> None: ...
    def count_iterators(self, epoch_iterator: Any) -> DataPosition:
        """Count the iterators that are made from now on."""


class DataAdapters(Protocol):
    """The conversion of `x`, `y`, ... to batches."""

    def is_array_like(self, *data: Any) -> bool: ...
    def split_off_validation(self, arrays: Any, share: float) -> tuple[Any, Any]: ...
    def ordered_adapter(
        self,
        x: Any,
        y: Any,
        *,
        sample_weight: Any,
        class_weight: Any,
        batch_size: int,
        make_dataset: Callable[[Any, int, Callable[[Any, Any], Any]], Any],
    ) -> Any:
        """Return arrays as an argument of `fit`, with batches in our order."""

    def py_dataset_adapter(
        self, dataset: Any, *, like: Any, class_weight: Any, batches: int | None
    ) -> Any: ...
    def is_of_unknown_length(self, dataset: Any) -> bool: ...
    def next_parts(self, iterator: Any, *, dense: bool) -> list[Any]:
        """Return the next batch, flattened."""


class Callbacks(Protocol):
    """State of the framework's own callbacks."""

    @property
    def MODEL_CHECKPOINT(self) -> tuple[str, ...]: ...
    @property
    def SWAP_EMA_WEIGHTS(self) -> tuple[str, ...]: ...
    @property
    def TENSORBOARD(self) -> tuple[str, ...]: ...
    @property
    def NO_STATE(self) -> tuple[str, ...]: ...
    def tensorboard_folder(self, callback: Any) -> Path: ...
    def flush_tensorboard(self, callback: Any) -> None: ...
    def close_tensorboard(self, callback: Any) -> None: ...


class Graphs(Protocol):
    """Traced functions and their operations."""

    @property
    def ON_HOST(self) -> frozenset[str]:
        """Types of the operations that call Python."""

    @property
    def CLOCK(self) -> frozenset[str]: ...
    @property
    def KERAS_FOLDER(self) -> str: ...
    @property
    def FRAMEWORK_FOLDER(self) -> str: ...
    def step_functions(self, train_function: Any) -> tuple[Any, Any]:
        """Return the traced functions over an iterator and over a batch, None for each that is not traced."""

    def stateful_random_operations(self, model: Any) -> list[str]: ...
    def operations_of(self, graph: Any) -> Iterator[Any]:
        """Yield the operations of a graph and of all that it calls."""

    def nodes_of(self, definition: Any) -> Iterator[tuple[Any, str]]:
        """Yield the nodes of a serialized graph, each with the function that contains it."""

    def operation_types(self, graph: Any) -> set[str]: ...
    def is_stateful(self, operation: str) -> bool: ...
    def wrap_function_calls(self, wrapper: Callable[..., Any]) -> None: ...
    def wrap_python_calls(self, wrapper: Callable[..., Any]) -> None: ...


class GraphOptimizer(Protocol):
    """The optimizer of traced graphs."""

    def set_options(self, options: Mapping[str, bool]) -> Undo: ...
    def options_on(self, names: Collection[str]) -> list[str]: ...
    def optimized_graph(self, concrete: Any) -> Any: ...


class ExactFunctions(Protocol):
    """Functions that are rounded alike on every CPU."""

    def use_exact_functions(self) -> Undo: ...


class PipelineStage(Protocol):
    """One stage of an input pipeline."""

    @property
    def kind(self) -> str: ...
    @property
    def later(self) -> tuple[str, ...]: ...
    @property
    def class_name(self) -> str: ...
    @property
    def input(self) -> Any: ...
    @property
    def settings(self) -> list[str]: ...
    @property
    def graphs(self) -> list[Any]: ...
    @property
    def is_nondeterministic(self) -> bool: ...
    @property
    def caches_in_file(self) -> bool: ...
    @property
    def is_seeded(self) -> bool: ...
    @property
    def reshuffles(self) -> bool: ...


class Pipelines(Protocol):
    """Input pipelines, from the objects that make them up."""

    def has_stages(self, dataset: Any) -> bool: ...
    def stages_of(self, dataset: Any) -> Iterator[PipelineStage]: ...
    def graph_of_function(self, dataset: Any) -> Any: ...
    def with_element_spec(self, dataset: Any, spec: Any) -> Any: ...


class Backend(Protocol):
    """What every framework needs."""

    @property
    def variables(self) -> Variables: ...
    @property
    def variable_creation(self) -> VariableCreation: ...
    @property
    def random_state(self) -> RandomState: ...
    @property
    def trainer(self) -> Trainer: ...
    @property
    def epoch_entry(self) -> EpochEntry: ...
    @property
    def data_adapters(self) -> DataAdapters: ...
    @property
    def callbacks(self) -> Callbacks: ...


class TensorFlowBackend(Backend, Protocol):
    """What a framework on TensorFlow offers in addition."""

    @property
    def graphs(self) -> Graphs: ...
    @property
    def graph_optimizer(self) -> GraphOptimizer: ...
    @property
    def exact_functions(self) -> ExactFunctions: ...
    @property
    def pipelines(self) -> Pipelines: ...
