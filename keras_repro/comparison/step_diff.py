"""Find the step at which two runs diverged, and what its batch shows about the cause."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from keras_repro.comparison.divergence import Divergence
from keras_repro.ledger.reader import LedgerReader
from keras_repro.ledger.schema import StepRecord

_CAUSING = ("weights", "optimizer", "seeds")
# Causes that a different batch overrules: one is none, the other a guess from the environment.
_OPEN = ("unknown", "environment")


def locate_step(divergence: Divergence, a: LedgerReader, b: LedgerReader) -> Divergence:
    """Add the first step that both runs recorded and that differs to a divergence in an epoch.

    Metrics count only if those of the epoch differ too: values left from an earlier `evaluate` have no
    effect. If the batches of that step differ, they are the cause, unless one is known already.

    Returns:
        The divergence; unchanged if no such step was recorded, for example because a callback changed
        something after the epoch's last step.
    """
    fit, epoch = divergence.fit, divergence.epoch
    if divergence.kind != "epoch" or fit is None or epoch is None or divergence.section is None:
        return divergence
    if not a.header.get("step_algorithm") == b.header.get("step_algorithm") != "":
        return divergence
    with_metrics = any(t["section"] == "metrics" for t in divergence.tensors)
    by_step = {record.step: record for record in b.steps(fit, epoch)}
    if not by_step:
        return divergence
    for record in a.steps(fit, epoch):
        other = by_step.get(record.step)
        if other is None or not _differ(record, other, with_metrics=with_metrics):
            continue
        same_seeds = record.state.get("seeds") == other.state.get("seeds")
        is_open = divergence.cause in _OPEN or (divergence.cause == "random_state" and same_seeds)
        batch = _batch_cause(record, other, (a, b)) if is_open else None
        if batch is None:
            return replace(divergence, step=record.step)
        cause, explanation = batch
        return replace(divergence, step=record.step, cause=cause, explanation=explanation)
    return divergence


def _batch_cause(a: StepRecord, b: StepRecord, ledgers: Sequence[LedgerReader]) -> tuple[str, str] | None:
    """Return the cause and the explanation if the batches of a step differ, else None."""
    if not a.batch or not b.batch or a.batch == b.batch:
        return None
    rows = a.batch.get("rows"), b.batch.get("rows")
    if rows[0] is not None and rows[0] == rows[1]:
        return "data_order", "its batch has the same samples in another order"
    if None in rows or any(_steps_between(ledger, a.fit) != 1 for ledger in ledgers):
        return "unknown", (
            "the batch differs in its samples, their order or values; --every step finds out which"
        )
    sums = [_sum_of_rows(ledger.steps(a.fit, a.epoch)) for ledger in ledgers]
    if sums[0] is not None and sums[0] == sums[1]:
        return "data_order", "the batch differs: the epoch has the same samples in another order"
    return "data_values", "the batch differs, and over the epoch the samples or their values differ"


def _steps_between(ledger: LedgerReader, fit: int) -> int | None:
    """Return the number of steps from one record to the next in a fit."""
    for record in ledger.records():
        if record.get("kind") == "fit" and record.get("fit") == fit:
            number = record.get("steps_recorded")
            return number if isinstance(number, int) else None
    return None


def _sum_of_rows(steps: Iterable[StepRecord]) -> int | None:
    """Return the sum of the hashes of all samples of an epoch, None if they are unknown."""
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
