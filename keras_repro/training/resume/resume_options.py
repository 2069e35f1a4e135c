"""`ResumeOptions`: whether and how a fit can be resumed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from keras_repro.utils.arguments import one_of, whole_number

SnapshotEvery = Literal["epoch"] | int
OnSnapshotError = Literal["warn", "raise"]


@dataclass(frozen=True, kw_only=True)
class ResumeOptions:
    """How a fit can be resumed. Each attribute is the argument of `ReproducibleTrainer.fit` with its name."""

    snapshot_every: SnapshotEvery | None = None
    resume: bool = False
    snapshots: int = 2
    background: bool = False
    on_snapshot_error: OnSnapshotError = "warn"

    @property
    def enabled(self) -> bool:
        """Whether the fit can be resumed."""
        return self.resume or self.snapshot_every is not None

    @property
    def interval(self) -> SnapshotEvery:
        """`"epoch"`, or the number of steps from one snapshot to the next."""
        return self.snapshot_every or "epoch"

    def check(self, run_dir: Any) -> None:
        """Raise TypeError if the run folder is missing, and ValueError if an attribute is out of range."""
        if self.resume and run_dir is None:
            raise TypeError("run_dir is missing: a run that can be resumed needs a run folder of its own")
        every = self.snapshot_every
        is_count = isinstance(every, int) and not isinstance(every, bool) and every >= 1
        if every is not None and every != "epoch" and not is_count:
            raise ValueError(
                f"snapshot_every must be 'epoch' or a number of steps from 1, received {every!r}"
            )
        whole_number("snapshots", self.snapshots, least=1)
        one_of("on_snapshot_error", self.on_snapshot_error, get_args(OnSnapshotError))
