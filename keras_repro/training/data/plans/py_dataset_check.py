"""A `PyDataset` whose batches are a function of their index: checked, and what it keeps between epochs.

check_py_dataset(dataset, name="x")          # TypeError where it is none
state_of(dataset)                            # what its get_state() gives; None where it keeps nothing
"""

from __future__ import annotations

import random
import sys
from typing import Any

import keras

from keras_repro.storage.digest import section_digest
from keras_repro.storage.plain_values import deep_copied

_HOOKS = ("on_epoch_begin", "on_epoch_end")
_HOW = "give it get_state() and set_state(state), as a callback has them (docs/resume.md)"


def check_py_dataset(dataset: Any, *, name: str, steps: bool = False) -> None:
    """Says why a `PyDataset` cannot be entered at a position, where it cannot.

    Args:
        dataset: the dataset; its first batch and its last are made twice.
        name: of the argument that it was given as.
        steps: whether Keras takes its batches across the ends of epochs.

    Raises:
        TypeError: it cannot.
    """
    kind = type(dataset).__name__
    if changes_between_epochs(dataset):
        if not joins(dataset):
            raise TypeError(
                f"{name}: {kind} changes between epochs ({', '.join(_overridden(dataset))}), and what it "
                f"keeps is not known: {_HOW}"
            )
        if steps:
            raise TypeError(
                f"{name}: {kind} changes between epochs, and with steps_per_epoch batches are made ahead of "
                "an epoch's end: leave out steps_per_epoch"
            )
    if name != "x" and "on_epoch_begin" in _overridden(dataset) and dataset.workers > 1:
        raise TypeError(
            f"{name}: the workers of {kind} begin before Keras calls its on_epoch_begin, and how far they "
            "come is another each time: use on_epoch_end, or one worker"
        )
    count = dataset.num_batches
    for index in dict.fromkeys([0, 0 if count is None else max(0, count - 1)]):
        before = _generators()
        digests = [batch_digest(dataset[index]) for _ in range(2)]
        moved = _generators() != before
        if digests[0] != digests[1] or moved:
            why = "draws from a generator of the process" if moved else "is another each time"
            raise TypeError(
                f"{name}: batch {index} of {kind} {why}: a run can be resumed where a batch is a function of "
                "its index; derive what is random from it, as np.random.default_rng((seed, index)) does"
            )


def changes_between_epochs(dataset: Any) -> bool:
    """Whether it does something where an epoch begins or ends."""
    return bool(_overridden(dataset))


def joins(dataset: Any) -> bool:
    """Whether it says itself what it keeps."""
    return all(callable(getattr(dataset, n, None)) for n in ("get_state", "set_state"))


def state_of(dataset: Any) -> Any:
    """What it keeps; None where it does not say."""
    return (
        deep_copied(dataset.get_state())
        if isinstance(dataset, keras.utils.PyDataset) and joins(dataset)
        else None
    )


def batch_digest(batch: Any) -> str:
    """Commits to a batch, of arrays or tensors."""
    from keras_repro.training.data.description import output_digests

    return section_digest(output_digests(batch))


def _overridden(dataset: Any) -> list[str]:
    base = keras.utils.PyDataset
    return [n for n in _HOOKS if getattr(type(dataset), n) is not getattr(base, n) or n in vars(dataset)]


def _generators() -> tuple[Any, ...]:
    numpy_random = sys.modules["numpy.random"]
    return random.getstate(), str(numpy_random.get_state())
