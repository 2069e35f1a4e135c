"""`RecordingOptions`: how a run is recorded and compared while it trains."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from keras_repro.utils.arguments import one_of

OnDivergence = Literal["stop", "raise", "warn"]
Every = Literal["epoch", "step"] | int
Keep = Literal["all", "last"] | Sequence[int] | None


@dataclass(frozen=True, kw_only=True)
class RecordingOptions:
    """How a run is recorded and compared; see `DeterminismCallback` for the public ones.

    Attributes:
        overwrite: whether an existing run in the run folder may be replaced.
        reference: a run folder or ledger to compare with while training, or None.
        on_divergence: `"stop"`, `"raise"` or `"warn"`.
        every: `"epoch"`, `"step"` or a number of steps.
        batches: whether the batches of recorded steps are digested too.
        sketches: whether sketches of the weights are written.
        keep: epochs after which a snapshot of the weights is kept.

    Raises:
        ValueError: `on_divergence`, `every` or `keep` has an unknown value.
    """

    overwrite: bool = False
    reference: str | os.PathLike[str] | None = None
    on_divergence: OnDivergence = "stop"
    every: Every = "epoch"
    batches: bool = False
    sketches: bool = True
    keep: Keep = None

    def __post_init__(self) -> None:
        one_of("on_divergence", self.on_divergence, get_args(OnDivergence))
        if self.every not in ("epoch", "step") and not _is_count(self.every):
            raise ValueError(
                f"every must be 'epoch', 'step' or a whole number of steps from 1 on, received {self.every!r}"
            )
        _check_keep(self.keep)

    @property
    def step_interval(self) -> int:
        """The number of steps from one step record to the next; 0 if only epochs are recorded."""
        if isinstance(self.every, int):
            return self.every
        return int(self.every == "step")


def _check_keep(keep: Any) -> None:
    if keep is None or (isinstance(keep, str) and keep in ("all", "last")):
        return
    epochs = list(keep) if isinstance(keep, list | tuple | set | frozenset | range) else [None]
    if not all(map(_is_count, epochs)):
        raise ValueError(
            f"keep must be 'all', 'last' or a list of epochs, counted from 1 as Keras prints them, "
            f"received {keep!r}"
        )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
