"""The step at which two runs parted, where both recorded steps, and what its batch says of the cause."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from keras_repro.comparison.divergence import Divergence
from keras_repro.ledger.reader import LedgerReader
from keras_repro.ledger.schema import StepRecord

_CAUSING = ("weights", "optimizer", "seeds")
# Causes that a batch overrules: the one is none, the other a guess from the surroundings.
_OPEN = ("unknown", "environment")


def locate_step(found: Divergence, a: LedgerReader, b: LedgerReader) -> Divergence:
    """Adds to a divergence in an epoch the first step that both runs recorded and that differs.

    Metrics count only where those of the epoch differ too: what an earlier `evaluate` has left in them has
    no effect. Where that step was given another batch, that is the cause, unless one is known already.

    Returns:
        The divergence; as it was where no such step was recorded, as when a callback changed something
        after the epoch's last one.
    """
    if found.kind != "epoch" or found.fit is None or found.epoch is None or found.section is None:
        return found
    if not a.header.get("step_algorithm") == b.header.get("step_algorithm") != "":
        return found
    with_metrics = any(t["section"] == "metrics" for t in found.tensors)
    others = list(b.steps(found.fit, found.epoch))
    if not others:
        return found
    by_step = {record.step: record for record in others}
    for mine in a.steps(found.fit, found.epoch):
        other = by_step.get(mine.step)
        if other is None or not _differ(mine, other, with_metrics=with_metrics):
            continue
        found = replace(found, step=mine.step)
        drawn_otherwise = mine.state.get("seeds") != other.state.get("seeds")
        if found.cause in _OPEN or (found.cause == "random_state" and not drawn_otherwise):
            return _with_batch(found, mine, other, (a, b), others)
        return found
    return found


def _with_batch(
    found: Divergence, a: StepRecord, b: StepRecord, files: Sequence[LedgerReader], others: list[StepRecord]
) -> Divergence:
    """The divergence with the cause that the batch of its step tells, if that differs."""
    if not a.batch or not b.batch or a.batch == b.batch:
        return found
    rows = a.batch.get("rows"), b.batch.get("rows")
    if rows[0] is not None and rows[0] == rows[1]:
        text = "its batch holds the same samples in another order"
        return replace(found, cause="data_order", explanation=text)
    assert found.fit is not None
    assert found.epoch is not None
    if any(_steps_between(file, found.fit) != 1 for file in files) or None in rows:
        text = "another batch went in: samples, their order or values differ; --every step tells them apart"
        return replace(found, cause="unknown", explanation=text)
    sums = [_sum_of_rows(steps) for steps in (files[0].steps(found.fit, found.epoch), others)]
    if sums[0] is not None and sums[0] == sums[1]:
        text = "another batch went in: the epoch has the same samples in another order"
        return replace(found, cause="data_order", explanation=text)
    text = "another batch went in, and over the epoch other samples or other values of them"
    return replace(found, cause="data_values", explanation=text)


def _steps_between(file: LedgerReader, fit: int) -> int | None:
    """How many steps there are from one record to the next in a fit."""
    for record in file.records():
        if record.get("kind") == "fit" and record.get("fit") == fit:
            number = record.get("steps_recorded")
            return number if isinstance(number, int) else None
    return None


def _sum_of_rows(steps: Iterable[StepRecord]) -> int | None:
    """The sum of the hashes of all samples of an epoch, None where they are not known."""
    total = 0
    for record in steps:
        try:
            total += int(record.batch["rows"], 16)
        except (KeyError, ValueError):
            return None
    return total % (1 << 128)


def _differ(a: StepRecord, b: StepRecord, *, with_metrics: bool) -> bool:
    if any(a.state.get(section) != b.state.get(section) for section in _CAUSING):
        return True
    return with_metrics and (a.loss, a.state.get("metrics")) != (b.loss, b.state.get("metrics"))
