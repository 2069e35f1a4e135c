"""What a backend on TensorFlow offers in addition: traced graphs, their optimizer, and `tf.data` pipelines.

Keras 2 and Estimators run on TensorFlow too. JAX and PyTorch have none of these: the portable mode, the
check of the traced step and plans of `tf.data` datasets are for TensorFlow only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol

from keras_repro.training.backends.interface import Backend, Undo


class Graphs(Protocol):
    """Traced functions and their operations."""

    @property
    def ON_HOST(self) -> frozenset[str]:
        """Types of the operations that call Python."""

    @property
    def CLOCK(self) -> frozenset[str]:
        """Types of the operations that read the clock."""

    @property
    def VARIABLE(self) -> str:
        """The kind of resource that is a variable."""

    @property
    def TABLE(self) -> str:
        """The kind of resource that is a lookup table."""

    @property
    def SUMMARY_WRITER(self) -> str:
        """The kind of resource that is a writer of event files."""

    @property
    def KERAS_FOLDER(self) -> str:
        """Part of the path of every source file of Keras."""

    @property
    def FRAMEWORK_FOLDER(self) -> str:
        """Part of the path of every source file of the framework."""

    def step_functions(self, train_function: Any) -> tuple[Any, Any]:
        """Return the traced functions over an iterator and over a batch, None for each that is not traced."""

    def stateful_random_operations(self, model: Any) -> list[str]:
        """Return the types of the operations in the traced step that keep a counter of draws."""

    def operations_of(self, graph: Any) -> Iterator[Any]:
        """Yield the operations of a graph and of all that it calls."""

    def captured_resources(self, graph: Any) -> Iterator[tuple[Any, str, list[Any]]]:
        """Yield handle, kind and users of each resource that a traced function takes from outside."""

    def variable_of(self, handle: Any) -> Any:
        """Return a variable with the handle of a variable."""

    def handles_of(self, variable: Any) -> list[Any]:
        """Return the handles of a variable and of its copies."""

    def nodes_of(self, definition: Any) -> Iterator[tuple[Any, str]]:
        """Yield the nodes of a serialized graph, each with the function that contains it."""

    def operation_types(self, graph: Any) -> set[str]:
        """Return the types of the operations in a graph and in all that it calls."""

    def is_stateful(self, operation: str) -> bool:
        """Return whether the framework declares a type of operation stateful."""

    def wrap_function_calls(self, wrapper: Callable[..., Any]) -> None:
        """Wrap the call of every traced function."""

    def wrap_python_calls(self, wrapper: Callable[..., Any]) -> None:
        """Wrap every call of Python code from inside a graph."""


class GraphOptimizer(Protocol):
    """The optimizer of traced graphs."""

    def set_options(self, options: Mapping[str, bool]) -> Undo:
        """Set options of the optimizer."""

    def options_on(self, names: Collection[str]) -> list[str]:
        """Return those of some options that are not off."""

    def optimized_graph(self, concrete: Any) -> Any:
        """Return the graph of a traced function as the runtime optimizes it."""


class ExactFunctions(Protocol):
    """Functions that are rounded alike on every CPU."""

    def use_exact_functions(self) -> Undo:
        """Use them in every graph that is traced from now on."""


class PipelineStage(Protocol):
    """One stage of an input pipeline."""

    @property
    def kind(self) -> str:
        """Its class, such as `"Shuffle"`."""

    @property
    def later(self) -> tuple[str, ...]:
        """The kinds of the stages after it."""

    @property
    def class_name(self) -> str:
        """The name of its class."""

    @property
    def input(self) -> Any:
        """The dataset before it."""

    @property
    def settings(self) -> list[str]:
        """The numbers and texts with which it was made."""

    @property
    def graphs(self) -> list[Any]:
        """The graphs of the functions that it calls."""

    @property
    def is_nondeterministic(self) -> bool:
        """Whether it was made with `deterministic=False`."""

    @property
    def caches_in_file(self) -> bool:
        """Whether it is a cache with a file."""

    @property
    def is_seeded(self) -> bool:
        """Whether a shuffle has a seed."""

    @property
    def reshuffles(self) -> bool:
        """Whether a shuffle has another order in each pass."""


class Pipelines(Protocol):
    """Input pipelines, from the objects that make them up."""

    def has_stages(self, dataset: Any) -> bool:
        """Return whether the stages of a dataset are known."""

    def stages_of(self, dataset: Any) -> Iterator[PipelineStage]:
        """Yield the stages of a dataset, the last one first."""

    def graph_of_function(self, dataset: Any) -> Any:
        """Return the graph of the function given to `map`, `filter`, ...; None if there is none."""

    def with_element_spec(self, dataset: Any, spec: Any) -> Any:
        """Return a dataset with a wider element spec that its elements fit too."""


class TensorFlowBackend(Backend, Protocol):
    """What a framework on TensorFlow offers in addition."""

    @property
    def graphs(self) -> Graphs:
        """Traced functions."""

    @property
    def graph_optimizer(self) -> GraphOptimizer:
        """The optimizer of graphs."""

    @property
    def exact_functions(self) -> ExactFunctions:
        """Functions that are rounded alike on every CPU."""

    @property
    def pipelines(self) -> Pipelines:
        """Input pipelines."""
