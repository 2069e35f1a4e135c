"""One training under one variation, and its comparison with the baseline.

run = VariedRun(name="locale", change=change, variation=variation)
...                                                # started and ended
judge_run(run, outcome, baseline).verdict          # 'repeats'
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_repro.comparison.compare import compare_all
from keras_repro.comparison.result import Comparison
from keras_repro.errors import LaunchError
from keras_repro.ledger.reader import LedgerReader
from keras_repro.processes.child import Outcome
from keras_repro.processes.outcome import raise_for_outcome
from keras_repro.processes.protocol import DIVERGED
from keras_repro.processes.workspace import Workspace
from keras_repro.storage.run_folder import LEDGER_NAME
from keras_repro.workflows.vary.catalogue import Variation
from keras_repro.workflows.vary.changes import Change, RunFacts
from keras_repro.workflows.vary.results import VariationOutcome


@dataclass(kw_only=True)
class VariedRun:
    """One training to compare with the baseline.

    Attributes:
        name: of the variation, `"baseline"` or `"repeat"`.
        change: the change against the baseline.
        variation: the variation; None for the baseline and its repeat.
        folder: its run folder.
        workspace: the copy of the user's folder in which it runs; None to run in the folder itself.
        slot: number of that copy if several are needed at a time, 0 for a run alone.
    """

    name: str
    change: Change
    variation: Variation | None = None
    folder: Path = Path()
    workspace: Workspace | None = None
    slot: int = 0


def judge_run(run: VariedRun, outcome: Outcome, baseline: Path) -> VariationOutcome:
    """Return the result of a run that has ended.

    Args:
        run: the run.
        outcome: how its process ended.
        baseline: the baseline's ledger.

    Raises:
        LedgerError: a ledger cannot be read.
    """
    ledger = run.folder / LEDGER_NAME
    variation = run.variation
    result = VariationOutcome(
        name=run.name,
        changes=variation.changes if variation else run.change.text,
        verdict="repeats",
        change=run.change.text,
        why=variation.why if variation else "",
        pin=variation.pin if variation else "",
        ledger=str(ledger) if ledger.exists() else None,
        seconds=outcome.seconds,
    )
    if outcome.code != DIVERGED:
        try:
            raise_for_outcome(outcome, run.folder, name="it")
        except LaunchError as error:
            reason = str(error).removeprefix("it ").removeprefix("it: ")
            return replace(result, verdict="could not run", reason=reason, output=error.output)
    comparison = compare_all([baseline, ledger], same_script=True)
    result = replace(result, comparison=comparison)
    if comparison.verdict == "identical":
        reason = "" if variation is None else _why_without_effect(variation, comparison)
        return replace(result, verdict="not tried", reason=reason) if reason else result
    divergence = comparison.divergence
    if divergence is None:
        return replace(result, verdict="differs", reason=str(comparison.reason))
    return replace(result, verdict="differs", where=divergence.short_place(), distance=_distance(comparison))


def not_tried(variation: Variation, reason: str) -> VariationOutcome:
    """Return the result of a variation that was not run."""
    return VariationOutcome(
        name=variation.name,
        changes=variation.changes,
        verdict="not tried",
        reason=reason,
        why=variation.why,
        pin=variation.pin,
    )


def read_run_facts(ledger: LedgerReader) -> RunFacts:
    """Read the conditions of a run from its ledger."""
    configurations = [r.extra.get("configuration") for r in ledger.typed_records() if r.kind == "fit"]
    jit = tuple(bool(c.get("jit_compile")) for c in configurations if isinstance(c, dict))
    return RunFacts(header=ledger.header, jit=jit)


def _why_without_effect(variation: Variation, comparison: Comparison) -> str:
    """Return why a variation is not known to have taken effect; empty if it has, or no ledger records it."""
    if variation.achieved is None:
        return ""
    before, now = (variation.achieved(read_run_facts(ledger)) for ledger in comparison.ledgers)
    if not (_is_known(before) and _is_known(now)):
        return "it is not known whether it took effect here: the value in effect could not be read"
    if before == now:
        return "the script sets it itself, or something overrides it: it is as in the baseline"
    return ""


def _is_known(value: Any) -> bool:
    return all(map(_is_known, value)) if isinstance(value, tuple) else value is not None


def _distance(comparison: Comparison) -> float | None:
    """Return the largest relative distance of a layer at the divergence; None if it is unknown."""
    if comparison.distances is None:
        return None
    return 0.0 if comparison.how_far is None else comparison.how_far.first.largest
