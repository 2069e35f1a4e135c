"""The stages of a `tf.data` pipeline, from the Python objects that make it up.

Private names checked with TensorFlow 2.21: `_inputs`, `_functions`, `_map_func`, `_variant_tensor`,
`_input_dataset`, `_deterministic`, `_filename`, `_seed`, `_seed2`, `_reshuffle_each_iteration`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from keras_repro.training.backends.tensorflow_interface import PipelineStage


def has_stages(dataset: Any) -> bool:
    """Return whether the stages of a dataset are known: not those of a distributed one."""
    return hasattr(dataset, "_inputs")


def stages_of(dataset: Any, later: tuple[str, ...] = ()) -> Iterator[PipelineStage]:
    """Yield the stages of a dataset, the last one first."""
    class_name = type(dataset).__name__.strip("_")
    kind = re.sub(r"V[123]$", "", class_name).removesuffix("Dataset")
    yield PipelineStage(
        kind=kind,
        later=later,
        class_name=class_name,
        input=getattr(dataset, "_input_dataset", None),
        settings=_settings(dataset),
        graphs=[wrapper.function.graph for wrapper in dataset._functions()],
        is_nondeterministic=str(getattr(dataset, "_deterministic", "")) == "false",
        caches_in_file=kind == "Cache" and _plain(dataset._filename) not in (b"", ""),
        is_seeded=kind == "Shuffle" and any(_plain(seed) for seed in (dataset._seed, dataset._seed2)),
        # None is the default, which reshuffles.
        reshuffles=kind == "Shuffle" and getattr(dataset, "_reshuffle_each_iteration", None) is not False,
    )
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


def _settings(dataset: Any) -> list[str]:
    values = {n: _plain(v) for n, v in sorted(vars(dataset).items()) if not n.startswith("_self_")}
    return [f"{n}={v!r}" for n, v in values.items() if isinstance(v, bool | int | float | str | bytes)]


def _plain(value: Any) -> Any:
    """Return the value of a scalar tensor, and anything else unchanged."""
    shape = getattr(value, "shape", None)
    if shape is None or len(shape) or not hasattr(value, "numpy") or value.dtype.name == "variant":
        return value
    scalar = value.numpy()
    return scalar.item() if hasattr(scalar, "item") else scalar
