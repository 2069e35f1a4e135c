"""Check that a `PyDataset` can be resumed: that each of its batches is a function of its index."""

from __future__ import annotations

from typing import Any

import keras

from keras_repro.determinism.seeds import process_generators
from keras_repro.storage.digest import section_digest
from keras_repro.training.data.description import output_digests
from keras_repro.training.state.user_state import has_state

_HOOKS = ("on_epoch_begin", "on_epoch_end")


def check_py_dataset(dataset: Any, *, name: str, steps: bool = False) -> None:
    """Raise TypeError if training cannot be resumed in the middle of a `PyDataset`.

    Args:
        dataset: the dataset; its first and its last batch are made twice.
        name: the argument that holds it.
        steps: whether `steps_per_epoch` is given: Keras then reads batches across the ends of epochs.
    """
    kind, hooks = type(dataset).__name__, _overridden_hooks(dataset)
    if hooks and not has_state(dataset):
        raise TypeError(
            f"{name}: {kind} changes between epochs ({', '.join(hooks)}), and its state is unknown: give it "
            "get_state() and set_state(state), as a callback has them (docs/resume.md)"
        )
    if hooks and steps:
        raise TypeError(
            f"{name}: {kind} changes between epochs, and with steps_per_epoch batches are made before the "
            "epoch that they belong to: leave out steps_per_epoch"
        )
    if name != "x" and "on_epoch_begin" in hooks and dataset.workers > 1:
        raise TypeError(
            f"{name}: the workers of {kind} make batches before Keras calls on_epoch_begin, and this order "
            "is not deterministic: use on_epoch_end, or one worker"
        )
    last = max(0, (dataset.num_batches or 1) - 1)
    for index in dict.fromkeys([0, last]):
        before = process_generators()
        digests = {batch_digest(dataset[index]) for _ in range(2)}
        draws = process_generators() != before
        if draws or len(digests) > 1:
            reason = "draws from a generator of the process" if draws else "differs each time it is made"
            raise TypeError(
                f"{name}: batch {index} of {kind} {reason}: a run can be resumed only if a batch is a "
                "function of its index; derive random values from it: np.random.default_rng((seed, index))"
            )


def changes_between_epochs(dataset: Any) -> bool:
    """Return whether a `PyDataset` overrides a hook that Keras calls between epochs."""
    return bool(_overridden_hooks(dataset))


def batch_digest(batch: Any) -> str:
    """Return a digest of a batch of arrays or tensors."""
    return section_digest(output_digests(batch))


def _overridden_hooks(dataset: Any) -> list[str]:
    base = keras.utils.PyDataset
    return [n for n in _HOOKS if getattr(type(dataset), n) is not getattr(base, n) or n in vars(dataset)]
