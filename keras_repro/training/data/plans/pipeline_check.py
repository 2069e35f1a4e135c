"""Check that a `tf.data` pipeline is deterministic, and describe its stages. The pipeline is not run.

pipeline = Pipeline(dataset)
pipeline.reasons                 # () if its position can be restored in another process
pipeline.reshuffled              # whether each pass has another order, which follows from the shuffle's seed

The stages are the Python objects of which a pipeline consists. Only stages and operations that are known to
be deterministic are accepted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras_repro.storage.digest import array_digest
from keras_repro.training.backends.active import backend


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Accepted stages: classes of `tf.data`, without underscore and version.
_KNOWN = _words(
    "TensorSlice Tensor SparseTensorSlice Range TextLine TFRecord FixedLengthRecord Map ParallelMap Batch "
    "ParallelBatch PaddedBatch Filter Take Skip TakeWhile Prefetch Options Repeat Concatenate Zip Cache "
    "FlatMap Interleave ParallelInterleave Shuffle Window Shard Enumerate Unbatch Rebatch Scan "
    "AssertCardinality DenseToRaggedBatch ApplyRewrite Rewrite"
)
# Accepted stages after a shuffle that reshuffles on every pass.
_AFTER_SHUFFLE = _words(
    "Map ParallelMap Batch ParallelBatch PaddedBatch Filter Take Skip Prefetch Options AssertCardinality"
)
# Operations that TensorFlow declares stateful, and that give the same result for the same inputs.
_DETERMINISTIC = _words(
    "TensorSliceDataset TensorDataset RangeDataset TFRecordDataset TFRecordDatasetV2 TextLineDataset "
    "FixedLengthRecordDataset FixedLengthRecordDatasetV2 StatefulPartitionedCall If While Case Assert Print "
    "PrintV2 LookupTableFind LookupTableFindV2 LookupTableSize LookupTableSizeV2 TensorArrayV3 "
    "TensorArrayReadV3 TensorArrayWriteV3 TensorArrayGatherV3 TensorArrayScatterV3 TensorArraySizeV3 "
    "TensorArrayCloseV3"
)


class Pipeline:
    """The stages of a `tf.data.Dataset`.

    Args:
        dataset: the dataset.

    Attributes:
        reasons: why its position cannot be restored; empty if it can.
        reshuffled: whether it has another order in each pass.
        before_shuffle: the dataset before the shuffle that changes the order; else the dataset itself.
    """

    def __init__(self, dataset: Any) -> None:
        self.before_shuffle = dataset
        self.reshuffled = False
        self._described: list[str] = [repr(dataset.element_spec)]
        if not backend.pipelines.has_stages(dataset):
            self.reasons: tuple[str, ...] = (f"it is a {type(dataset).__name__}",)
            return
        reasons: list[str] = []
        if dataset.options().deterministic is False:
            reasons.append("its options have deterministic=False")
        for stage in backend.pipelines.stages_of(dataset):
            reasons += self._inspect(stage)
        self.reasons = tuple(dict.fromkeys(reasons))

    @property
    def digest(self) -> str:
        """Digest of the stages, not of the data."""
        return array_digest("pipeline", "\n".join(self._described))

    def _inspect(self, stage: Any) -> Iterator[str]:
        self._described.append(" ".join([stage.kind, *stage.settings]))
        if stage.kind not in _KNOWN:
            yield f"its {stage.class_name} is not known to be deterministic"
        if stage.is_nondeterministic:
            yield f"its {stage.kind} has deterministic=False"
        if stage.caches_in_file:
            yield "it caches in a file, which is incomplete if the process is killed"
        if stage.kind == "Shuffle":
            yield from self._inspect_shuffle(stage)
        for graph in stage.graphs:
            self._described.append(" ".join(sorted(backend.graphs.operation_types(graph))))
            nodes = backend.graphs.nodes_of(graph.as_graph_def(add_shapes=False))
            changing = {str(node.op) for node, _ in nodes if _may_change(node)}
            yield from (_reason(stage.kind, operation) for operation in sorted(changing))

    def _inspect_shuffle(self, stage: Any) -> Iterator[str]:
        if not stage.is_seeded:
            yield "its shuffle has no seed: use shuffle(..., seed=...)"
        if not stage.reshuffles:
            return
        refused = [k for k in stage.later if k not in _AFTER_SHUFFLE]
        if refused or self.reshuffled:
            name = "another shuffle" if self.reshuffled or "Shuffle" in refused else refused[0].lower()
            yield (
                f"its shuffle reshuffles on every pass and is followed by {name}: remove that stage (Keras "
                "starts a new pass by itself), or use shuffle(..., reshuffle_each_iteration=False)"
            )
        self.reshuffled, self.before_shuffle = True, stage.input


def check_pipeline(pipeline: Pipeline, *, name: str) -> None:
    """Raise TypeError if the position in a pipeline cannot be restored.

    Args:
        pipeline: the pipeline.
        name: the argument that holds it.
    """
    if pipeline.reasons:
        raise TypeError(
            f"{name}: the position in this tf.data.Dataset cannot be restored: {'; '.join(pipeline.reasons)}"
            "; change it, or train without snapshot_every and resume"
        )


def _may_change(node: Any) -> bool:
    """Return whether an operation may give another result for the same inputs."""
    operation = node.op
    if operation in _DETERMINISTIC or operation == "Placeholder":
        return False
    if operation.startswith("Shuffle") or operation in backend.graphs.ON_HOST:
        return True
    return bool(backend.graphs.is_stateful(operation) or backend.graphs.is_stateful_random(node))


def _reason(kind: str, operation: str) -> str:
    if operation == "GeneratorDataset":
        return "it reads a Python generator: use a PyDataset, or arrays"
    if operation in backend.graphs.ON_HOST:
        return f"its {kind.lower()} calls Python code, which is not known to be deterministic"
    if "Variable" in operation:
        return (
            f"its {kind.lower()} contains {operation}: it uses a variable, as a random layer of Keras does; "
            "move the layer into the model, or use tf.random.stateless_*"
        )
    return f"its {kind.lower()} contains {operation}, which is not deterministic"
