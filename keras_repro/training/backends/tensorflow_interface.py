"""What a backend on TensorFlow offers in addition: traced graphs, their optimizer, and `tf.data` pipelines.

Keras 2 and Estimators run on TensorFlow too. JAX and PyTorch have none of these: the portable mode, the
check of the traced step and plans of `tf.data` datasets are for TensorFlow only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from keras_repro.training.backends.hooks import Handler, Undo
from keras_repro.training.backends.interface import Backend


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
        """Return the types of the operations in the traced step that keep a state of their draws."""

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

    def is_stateful_random(self, node: Any) -> bool:
        """Return whether a node draws from a counter of its own, or without a seed."""

    def is_seeded(self, node: Any) -> bool:
        """Return whether a node has a seed, or takes none."""

    def hook_function_calls(self, handler: Handler) -> None:
        """Wrap the call of every traced function."""

    def hook_python_calls(self, handler: Handler) -> None:
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


@dataclass(frozen=True, kw_only=True)
class PipelineStage:
    """One stage of an input pipeline.

    Attributes:
        kind: its class, such as `"Shuffle"`.
        later: the kinds of the stages after it, the next one first.
        class_name: the name of its class.
        input: the dataset before it, None if there is not exactly one.
        settings: the numbers and texts with which it was made, as `name=value`.
        graphs: the graphs of the functions that it calls.
        is_nondeterministic: whether it was made with `deterministic=False`.
        caches_in_file: whether it is a cache with a file.
        is_seeded: whether it is a shuffle with a seed.
        reshuffles: whether it is a shuffle with another order in each pass.
    """

    kind: str
    later: tuple[str, ...]
    class_name: str
    input: Any
    settings: Sequence[str]
    graphs: Sequence[Any]
    is_nondeterministic: bool
    caches_in_file: bool
    is_seeded: bool
    reshuffles: bool


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


@dataclass(frozen=True, kw_only=True)
class TensorFlowBackend(Backend):
    """What a framework on TensorFlow offers in addition.

    Attributes:
        graphs: traced functions.
        graph_optimizer: the optimizer of graphs.
        exact_functions: functions that are rounded alike on every CPU.
        pipelines: input pipelines.
    """

    graphs: Graphs
    graph_optimizer: GraphOptimizer
    exact_functions: ExactFunctions
    pipelines: Pipelines
