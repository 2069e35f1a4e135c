"""The stages of a `tf.data` pipeline, from the Python objects that make it up.

Private names checked with TensorFlow 2.21: `_inputs`, `_functions`, `_map_func`, `_variant_tensor`,
`_input_dataset`, `_deterministic`, `_filename`, `_seed`, `_seed2`, `_reshuffle_each_iteration`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class PipelineStage:
    """One stage of a pipeline.

    Attributes:
        dataset: the `tf.data.Dataset` after this stage.
        kind: its class, without underscore, version and "Dataset": `"Shuffle"`.
        later: the kinds of the stages after it, the next one first.
    """

    dataset: Any
    kind: str
    later: tuple[str, ...]

    @property
    def class_name(self) -> str:
        """The name of its class."""
        return type(self.dataset).__name__.strip("_")

    @property
    def input(self) -> Any:
        """The dataset before this stage."""
        return self.dataset._input_dataset

    @property
    def settings(self) -> list[str]:
        """The numbers and texts with which it was made, as `name=value`."""
        values = {n: _plain(v) for n, v in sorted(vars(self.dataset).items()) if not n.startswith("_self_")}
        return [f"{n}={v!r}" for n, v in values.items() if isinstance(v, bool | int | float | str | bytes)]

    @property
    def graphs(self) -> list[Any]:
        """The graphs of the functions that it calls."""
        return [wrapper.function.graph for wrapper in self.dataset._functions()]

    @property
    def is_nondeterministic(self) -> bool:
        """Whether it was made with `deterministic=False`."""
        return str(getattr(self.dataset, "_deterministic", "")) == "false"

    @property
    def caches_in_file(self) -> bool:
        """Whether it is a cache with a file."""
        return self.kind == "Cache" and _plain(self.dataset._filename) not in (b"", "")

    @property
    def is_seeded(self) -> bool:
        """Whether a shuffle has a seed."""
        return any(_plain(seed) for seed in (self.dataset._seed, self.dataset._seed2))

    @property
    def reshuffles(self) -> bool:
        """Whether a shuffle has another order in each pass, as it has by default."""
        return getattr(self.dataset, "_reshuffle_each_iteration", True) is not False


def has_stages(dataset: Any) -> bool:
    """Return whether the stages of a dataset are known: not those of a distributed one."""
    return hasattr(dataset, "_inputs")


def stages_of(dataset: Any, later: tuple[str, ...] = ()) -> Iterator[PipelineStage]:
    """Yield the stages of a dataset, the last one first."""
    kind = _kind(dataset)
    yield PipelineStage(dataset=dataset, kind=kind, later=later)
    for previous in dataset._inputs():
        yield from stages_of(previous, (kind, *later))


def graph_of_function(dataset: Any) -> Any:
    """Return the graph of the function given to `map`, `filter`, ...; None if there is none."""
    function = getattr(getattr(dataset, "_map_func", None), "function", None)
    return getattr(function, "graph", None)


def with_element_spec(dataset: Any, spec: Any) -> Any:
    """Return a dataset with a wider element spec that its elements fit too, as with an open batch size."""
    import tensorflow as tf

    class WithSpec(tf.data.Dataset):
        def __init__(self) -> None:
            super().__init__(dataset._variant_tensor)

        def _inputs(self) -> list[Any]:
            return [dataset]

        @property
        def element_spec(self) -> Any:
            return spec

    return WithSpec()


def _kind(dataset: Any) -> str:
    name = type(dataset).__name__.strip("_")
    for version in ("V1", "V2", "V3"):
        name = name.removesuffix(version)
    return name.removesuffix("Dataset")


def _plain(value: Any) -> Any:
    """Return the value of a scalar tensor, and anything else unchanged."""
    shape = getattr(value, "shape", None)
    if shape is None or len(shape) or not hasattr(value, "numpy") or value.dtype.name == "variant":
        return value
    scalar = value.numpy()
    return scalar.item() if hasattr(scalar, "item") else scalar
