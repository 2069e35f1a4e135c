"""Whether a `tf.data` pipeline gives the same elements again, and what it is made of; nothing of it is run.

pipeline = Pipeline(dataset)
pipeline.reasons                 # () where it can be entered anywhere, in another process too
pipeline.reshuffled              # whether each pass has another order, which its seed decides

A pipeline is taken apart by the objects that its parts are in Python. Only parts and operations are let
through of which it is known that they give the same twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras_repro.storage.digest import array_digest
from keras_repro.training.backends.active import backend


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What a pipeline may be made of: classes of `tf.data`, without underscore and version.
_KNOWN = _words(
    "TensorSlice Tensor SparseTensorSlice Range TextLine TFRecord FixedLengthRecord Map ParallelMap Batch "
    "ParallelBatch PaddedBatch Filter Take Skip TakeWhile Prefetch Options Repeat Concatenate Zip Cache "
    "FlatMap Interleave ParallelInterleave Shuffle Window Shard Enumerate Unbatch Rebatch Scan "
    "AssertCardinality DenseToRaggedBatch ApplyRewrite Rewrite"
)
# Behind a shuffle that goes on changing, these alone have no other effect than on what they are given.
_BEHIND_SHUFFLE = _words(
    "Map ParallelMap Batch ParallelBatch PaddedBatch Filter Take Skip Prefetch Options AssertCardinality"
)
# Operations within a function of a pipeline that are called stateful, and repeat.
_REPEAT = _words(
    "TensorSliceDataset TensorDataset RangeDataset TFRecordDataset TFRecordDatasetV2 TextLineDataset "
    "FixedLengthRecordDataset FixedLengthRecordDatasetV2 StatefulPartitionedCall If While Case Assert Print "
    "PrintV2 LookupTableFind LookupTableFindV2 LookupTableSize LookupTableSizeV2 TensorArrayV3 "
    "TensorArrayReadV3 TensorArrayWriteV3 TensorArrayGatherV3 TensorArrayScatterV3 TensorArraySizeV3 "
    "TensorArrayCloseV3"
)
_ON_HOST = ("PyFunc", "PyFuncStateless", "EagerPyFunc")


class Pipeline:
    """What is known of a `tf.data.Dataset`.

    Args:
        dataset: the dataset.

    Attributes:
        reasons: why it cannot be entered at a position, each a text; empty where it can.
        reshuffled: whether a shuffle in it changes the order with each pass.
        before: the dataset before that shuffle, which is the same in each pass; else the dataset itself.
    """

    def __init__(self, dataset: Any) -> None:
        self.before = dataset
        self.reshuffled = False
        self._described: list[str] = [repr(dataset.element_spec)]
        if not hasattr(dataset, "_inputs"):
            self.reasons: tuple[str, ...] = (f"it is a {type(dataset).__name__}",)
            return
        found: list[str] = []
        if dataset.options().deterministic is False:
            found.append("its options say deterministic=False")
        for one, behind in _parts(dataset, ()):
            found += self._look_at(one, behind)
        self.reasons = tuple(dict.fromkeys(found))

    @property
    def digest(self) -> str:
        """Commits to what it is made of, not to the data."""
        return array_digest("pipeline", "\n".join(self._described))

    def _look_at(self, one: Any, behind: tuple[str, ...]) -> Iterator[str]:
        kind = _kind(one)
        self._described.append(" ".join([kind, *_settings(one)]))
        if kind not in _KNOWN:
            yield f"it is not known that its {type(one).__name__.strip('_')} gives the same twice"
        if str(getattr(one, "_deterministic", "")) == "false":
            yield f"its {kind} has deterministic=False"
        if kind == "Cache" and _plain(one._filename) not in (b"", ""):
            yield "it caches in a file, of which a killed process leaves a part"
        if kind == "Shuffle":
            yield from self._look_at_shuffle(one, behind)
        for wrapper in one._functions():
            graph = wrapper.function.graph
            self._described.append(" ".join(sorted(_operations(graph))))
            yield from (
                _reason(kind, operation) for operation in sorted(_operations(graph)) if _moves(operation)
            )

    def _look_at_shuffle(self, one: Any, behind: tuple[str, ...]) -> Iterator[str]:
        if not any(_plain(getattr(one, n)) for n in ("_seed", "_seed2")):
            yield "its shuffle has no seed: give shuffle(..., seed=...)"
        # Without being told, it reshuffles.
        if getattr(one, "_reshuffle_each_iteration", True) is False:
            return
        others = [k for k in behind if k not in _BEHIND_SHUFFLE]
        if others or self.reshuffled:
            what = "another shuffle" if self.reshuffled or "Shuffle" in others else others[0].lower()
            yield (
                f"its shuffle goes on changing with {what} behind it: leave that out (Keras begins a new "
                "pass by itself), or give shuffle(..., reshuffle_each_iteration=False)"
            )
        self.reshuffled, self.before = True, one._input_dataset


def check_pipeline(pipeline: Pipeline, *, name: str) -> None:
    """Says why a pipeline cannot be entered at a position, where it cannot.

    Raises:
        TypeError: it cannot.
    """
    if pipeline.reasons:
        raise TypeError(
            f"{name}: this tf.data.Dataset cannot be entered at a position: {'; '.join(pipeline.reasons)}; "
            "mend it, or train without snapshot_every and resume"
        )


def _parts(dataset: Any, behind: tuple[str, ...]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """A dataset and all that it takes its elements from, each with the kinds of what is behind it."""
    yield dataset, behind
    for one in dataset._inputs():
        yield from _parts(one, (_kind(dataset), *behind))


def _kind(one: Any) -> str:
    name = type(one).__name__.strip("_")
    for end in ("V1", "V2", "V3"):
        name = name.removesuffix(end)
    return name.removesuffix("Dataset")


def _settings(one: Any) -> Iterator[str]:
    """The numbers and texts that a part was made with."""
    for name, value in sorted(vars(one).items()):
        held = _plain(value)
        if isinstance(held, bool | int | float | str | bytes) and not name.startswith("_self_"):
            yield f"{name}={held!r}"


def _plain(value: Any) -> Any:
    """A scalar tensor as its value; what is none, as it is."""
    shape = getattr(value, "shape", None)
    if shape is None or len(shape) or not hasattr(value, "numpy") or value.dtype.name == "variant":
        return value
    held = value.numpy()
    return held.item() if hasattr(held, "item") else held


def _operations(graph: Any) -> set[str]:
    return set(backend.graphs.operation_types(graph))


def _moves(operation: str) -> bool:
    """Whether an operation may give another result for the same inputs, or one that is not known here."""
    from tensorflow.python.framework import op_def_registry

    if operation in _REPEAT or operation == "Placeholder":
        return False
    defined = op_def_registry.get(operation)
    if operation.startswith("Shuffle") or operation in _ON_HOST:
        return True
    return bool(defined is not None and defined.is_stateful)


def _reason(kind: str, operation: str) -> str:
    if operation == "GeneratorDataset":
        return "it takes its elements from a Python generator: give a PyDataset, or arrays"
    if operation in _ON_HOST:
        return f"its {kind.lower()} calls Python, of which nobody knows whether it gives the same twice"
    if "Variable" in operation:
        return (
            f"its {kind.lower()} holds {operation}: it uses a variable, as a random layer of Keras does; put "
            "the layer into the model, or use tf.random.stateless_*"
        )
    return f"its {kind.lower()} holds {operation}, which does not give the same twice"
