"""The step at which two runs parted, where both recorded steps."""

from __future__ import annotations

from dataclasses import replace

from keras_repro.examine.divergence import Divergence
from keras_repro.record.ledger import LedgerFile
from keras_repro.record.schema import StepRecord

_CAUSING = ("weights", "optimizer", "seeds")


def with_step(found: Divergence, a: LedgerFile, b: LedgerFile) -> Divergence:
    """Adds to a divergence in an epoch the first step that both runs recorded and that differs.

    Metrics count only where those of the epoch differ too: what an earlier `evaluate` has left in them has
    no effect.

    Returns:
        The divergence; as it was where no such step was recorded, as when a callback changed something
        after the epoch's last one.
    """
    if found.kind != "epoch" or found.fit is None or found.epoch is None or found.section is None:
        return found
    if not a.header.get("step_algorithm") == b.header.get("step_algorithm") != "":
        return found
    with_metrics = any(t["section"] == "metrics" for t in found.tensors)
    others = {record.step: record for record in b.steps(found.fit, found.epoch)}
    for mine in a.steps(found.fit, found.epoch):
        other = others.get(mine.step)
        if other is not None and _differ(mine, other, with_metrics=with_metrics):
            return replace(found, step=mine.step)
    return found


def _differ(a: StepRecord, b: StepRecord, *, with_metrics: bool) -> bool:
    if any(a.state.get(section) != b.state.get(section) for section in _CAUSING):
        return True
    return with_metrics and (a.loss, a.state.get("metrics")) != (b.loss, b.state.get("metrics"))
