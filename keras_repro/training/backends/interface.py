"""What a backend offers: one protocol for each of its modules.

A backend is a folder next to this file. Its `backend.py` makes a `Backend` of its modules: the type checker
reports what is missing. `active.py` chooses the backend.

Models, variables, tensors, datasets and frames are the framework's own objects: their type here is `Any`.
Every framework needs what is here. `tensorflow_interface.py` adds what only TensorFlow has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from keras_repro.training.backends.hooks import Handler, Undo


class Variables(Protocol):
    """Variables, the objects that hold them, and zero-copy reads of their values."""

    @property
    def KERAS_LISTS(self) -> tuple[str, ...]:
        """Attributes in which the framework lists what other attributes of an object hold too."""

    def is_keras_variable(self, value: Any) -> bool:
        """Return whether a value is a variable of Keras."""

    def is_saveable(self, value: Any) -> bool:
        """Return whether a value is a layer, model, optimizer, metric or loss."""

    def has_settings(self, value: Any) -> bool:
        """Return whether a value is a regularizer, an initializer, a constraint or a schedule."""

    def own_attributes(self, kind: type, *, of_users: bool) -> Callable[[str], bool]:
        """Return a function that tells whether a program may set an attribute, by its name."""

    def is_graph_of_layers(self, value: Any) -> bool:
        """Return whether a value is a model whose `layers` are its structure."""

    def is_graph_node(self, value: Any) -> bool:
        """Return whether a value is a call in the graph of layers, which leads to the layers around it."""

    def raw_variable(self, variable: Any) -> Any:
        """Return the framework's variable of a variable of Keras, None while it has no value."""

    def is_plain(self, variable: Any) -> bool:
        """Return whether it is one variable, not a variable of several replicas."""

    def reader(self, variables: Sequence[Any]) -> Callable[[], list[Any]]:
        """Return a function that reads the same variables again and again, without a copy if possible."""

    def read_all(self, variables: Sequence[Any]) -> list[Any]:
        """Read variables once."""

    def variables_of(self, model: Any) -> list[Any]:
        """Return the variables of a model that have a value."""

    def trained_variables(self, optimizer: Any) -> list[Any]:
        """Return the variables that an optimizer was built for, in the order of its slots."""

    def seed_generators(self, layer: Any) -> list[Any]:
        """Return the seed generators that a layer holds itself."""

    def is_table(self, value: Any) -> bool:
        """Return whether a value is a lookup table, mutable or not."""

    def is_mutable_table(self, value: Any) -> bool:
        """Return whether a value is a lookup table that may change."""

    def content_of_table(self, table: Any) -> tuple[Any, Any]:
        """Return the keys and the values of a mutable table."""

    def set_content_of_table(self, table: Any, content: tuple[Any, Any]) -> None:
        """Replace the content of a mutable table."""

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

    def capture(self) -> dict[str, Any]:
        """Return the states of the framework's global generators, as far as they exist."""

    def restore(self, states: Mapping[str, Any]) -> None:
        """Restore what `capture` returned."""

    def global_seed_generator(self) -> Any:
        """Return Keras's global seed generator, None if it does not exist yet."""

    def seeds_set(self) -> dict[str, int | None]:
        """Return the seeds that the program has set, by library."""

    def hook_operation_seeds(self, handler: Handler) -> None:
        """Wrap the function that seeds operations; its result is `(None, None)` if nothing does."""

    def seed_generators(self, next_seed: Callable[[], int]) -> None:
        """Seed the generators that would start from entropy."""

    def state_variable(self, generator: Any) -> Any:
        """Return the variable with a generator's state, None if it has none yet."""


class Trainer(Protocol):
    """Hooks into the trainer, and facts about a model's training."""

    @property
    def TRAINER_MODULE(self) -> str:
        """The module whose import gives the class of `trainer_class`."""

    @property
    def BASE_TRAINER_MODULE(self) -> str:
        """The module of the base class of all trainers."""

    @property
    def OPTIMIZER_MODULE(self) -> str:
        """The module of the base class of all optimizers."""

    @property
    def DATASET_UTILS_MODULE(self) -> str:
        """The module of the functions that make datasets from folders."""

    @property
    def OTHER_TRAINERS(self) -> Mapping[str, tuple[str, str]]:
        """Modules of trainers that this backend does not record: their name for people and their class."""

    def trainer_class(self) -> Any:
        """Return the class of all models' trainer."""

    def disable_auto_jit(self, module: Any) -> None:
        """Make `jit_compile="auto"` mean no compilation, in the module of the base trainer."""

    def asks_for_xla(self, model: Any) -> bool:
        """Return whether a model was compiled with `jit_compile=True`."""

    def inner_model(self, model: Any) -> Any:
        """Return the model that another one makes for itself, None if there is none."""

    def has_call(self, model: Any) -> bool:
        """Return whether a model's class defines the forward pass."""

    def build_on(self, model: Any, batch: Any) -> None:
        """Build a model, its metrics and its optimizer for a batch, without a step."""

    def make_function(self, model: Any, step: Any) -> Any:
        """Return a function over an iterator, made of a step as the framework makes one."""

    def flat_layers(self, model: Any, *, include_self: bool = False) -> list[Any]:
        """Return all layers of a model, nested ones too."""

    def calling_list(self, frame: Any) -> Any:
        """Return the list of callbacks that calls from a frame or above it, else None."""

    def is_made_by_sequential(self, frame: Any) -> bool:
        """Return whether a Sequential model calls from a frame or above it to make its inner model."""

    def watch_name_scopes(self, report: Callable[[str, str], None]) -> Undo:
        """Report the name scope in the graph and the name of each layer that is called."""

    def versions(self) -> dict[str, str]:
        """Return the versions of the loaded frameworks."""


class DataPosition(Protocol):
    """How far `fit` has read a stream of data."""

    def state(self) -> dict[str, Any]:
        """Return the position in plain values."""

    def restore(self, state: Mapping[str, Any], *, step: int, reshuffled: bool) -> None:
        """Continue at a position, in this process or another."""


class EpochEntry(Protocol):
    """The object from which `fit` takes its batches, and entering an epoch at a step."""

    def calling_epoch_iterator(self, frame: Any) -> Any:
        """Return the epoch iterator of the `fit` that calls from a frame or above it, else None."""

    def watch_data_adapters(self, report: Callable[[Any], None]) -> Undo:
        """Report the data adapter of each epoch iterator."""

    def spec_of_batches(self, epoch_iterator: Any) -> Any:
        """Return the element spec of the batches, None if batches cannot be passed on."""

    def new_iterator(self, epoch_iterator: Any) -> Iterator[Any]:
        """Return an iterator over the batches, made as the framework makes one for an epoch."""

    def last_step(self, epoch_iterator: Any, batch: int) -> int:
        """Return the last step of a call of the training function, from the number that callbacks get."""

    def steps_not_made(self, epoch_iterator: Any) -> int:
        """Return by how many steps the framework counts too far at the end of an epoch."""

    def start_epoch_at_step(
        self, model: Any, epoch_iterator: Any, *, step: int | None, logs: Mapping[str, Any]
    ) -> None:
        """Make the next epoch begin at a step; None if its steps are over."""

    def count_iterators(self, epoch_iterator: Any) -> DataPosition:
        """Count the iterators that are made from now on."""


class DataAdapters(Protocol):
    """The conversion of `x`, `y`, ... to batches."""

    def is_array_like(self, *data: Any) -> bool:
        """Return whether the framework treats data as arrays, not as a stream."""

    def split_off_validation(self, arrays: Any, share: float) -> tuple[Any, Any]:
        """Split the last share off some arrays."""

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

    def py_dataset_adapter(self, dataset: Any, *, like: Any, class_weight: Any, batches: int | None) -> Any:
        """Return a `PyDataset` as an argument of `fit`, with batches in its order."""

    def flat_batches(self, iterator: Any, *, dense: bool) -> Iterator[list[Any]]:
        """Yield the batches of an iterator, flattened."""


class Callbacks(Protocol):
    """State of the framework's own callbacks."""

    @property
    def MODEL_CHECKPOINT(self) -> tuple[str, ...]:
        """Private attributes of `ModelCheckpoint` that are its state."""

    @property
    def SWAP_EMA_WEIGHTS(self) -> tuple[str, ...]:
        """Private attributes of `SwapEMAWeights` that are its state."""

    @property
    def TENSORBOARD(self) -> tuple[str, ...]:
        """Private attributes of `TensorBoard` that are its state."""

    @property
    def NO_STATE(self) -> tuple[str, ...]:
        """Attributes of every callback that are not its state."""

    def tensorboard_folder(self, callback: Any) -> Path:
        """Return the folder into which a `TensorBoard` callback writes."""

    def flush_tensorboard(self, callback: Any) -> None:
        """Write out all events of a `TensorBoard` callback."""

    def close_tensorboard(self, callback: Any) -> None:
        """Close the event files; later events go into new ones."""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """What every framework needs.

    Attributes:
        variables: variables and zero-copy reads.
        variable_creation: hooks into the creation of variables.
        random_state: global random state.
        trainer: hooks into the trainer.
        epoch_entry: the source of the batches of an epoch.
        data_adapters: the conversion of data to batches.
        callbacks: state of the framework's callbacks.
    """

    variables: Variables
    variable_creation: VariableCreation
    random_state: RandomState
    trainer: Trainer
    epoch_entry: EpochEntry
    data_adapters: DataAdapters
    callbacks: Callbacks
