"""A training step that has run, with everything needed to run it again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_repro.errors import SnapshotError
from keras_repro.storage.snapshot_file import Snapshot, write_snapshot
from keras_repro.training.data.batch_feed import iterator_like
from keras_repro.training.state.buffers import array_of_value
from keras_repro.training.state.fast_reader import InFile, StateReader


class PreStepState:
    """The tensors of a state before a step: in memory, until they are moved into a file.

    Args:
        tensors: from `StateReader.copy`.
    """

    def __init__(self, tensors: Sequence[Any]) -> None:
        self._tensors = list(tensors)
        self._count = len(self._tensors)
        self._path: Path | None = None

    def move_to(self, path: Path) -> None:
        """Move the tensors into a new file; leave them in memory if they cannot be written."""
        if self._path is None:
            with contextlib.suppress(SnapshotError, TypeError, ValueError):  # dtype without a NumPy form
                write_snapshot(path, {str(n): array_of_value(t) for n, t in enumerate(self._tensors)})
                self._path = path
                self._tensors.clear()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        if self._path is None:
            yield from self._tensors
            return
        with Snapshot(self._path) as snapshot:
            for number in range(self._count):
                yield InFile(snapshot, str(number))


@dataclass(frozen=True, kw_only=True)
class RecordedStep:
    """A step that has just run, with everything needed to run it again.

    Attributes:
        model: the model.
        function: the training function that Keras has made.
        batches: its input: one batch, or `steps_per_execution` of them.
        spec: element spec of the iterator that they came from, None for `train_on_batch`.
        reader: reads the model's state.
        before: the state before it, with the initial values of variables that the step created; empty if it
            is unknown.
        generators: the states of Python's and NumPy's own generators before it.
        after: digests of the state after it.
    """

    model: Any
    function: Any
    batches: tuple[Any, ...]
    spec: Any
    reader: StateReader
    before: PreStepState
    generators: Mapping[str, Any]
    after: Mapping[str, Mapping[str, str]]

    def feed(self) -> Any:
        """Return the batches again, as the training function takes them."""
        return iterator_like(self.batches, self.spec) if self.spec is not None else iter(self.batches)
