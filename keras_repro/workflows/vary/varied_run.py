"""One training under one variation, and its comparison with the baseline.

run = VariedRun(name="locale", change=change, variation=variation)
...                                                # started and ended
judge_run(run, outcome, baseline).verdict          # 'repeats'
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from keras_repro.comparison.compare import compare_all
from keras_repro.comparison.distances.layer_distances import distances
from keras_repro.comparison.distances.summary import how_far
from keras_repro.comparison.divergence import Divergence
from keras_repro.errors import LaunchError, ReproError
from keras_repro.ledger.reader import open_ledger
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
        if variation is None or _took_effect(variation, run.folder, baseline):
            return result
        reason = "the script sets it itself, or something overrides it: it is as in the baseline"
        return replace(result, verdict="not tried", reason=reason)
    divergence = comparison.divergence
    if divergence is None:
        return replace(result, verdict="differs", reason=str(comparison.reason))
    return replace(result, verdict="differs", where=_place(divergence), distance=_distance(baseline, ledger))


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


def read_run_facts(run: Path) -> RunFacts:
    """Read the conditions of a run from its ledger."""
    ledger = open_ledger(run)
    configurations = [r.extra.get("configuration") for r in ledger.typed_records() if r.kind == "fit"]
    jit = tuple(bool(c.get("jit_compile")) for c in configurations if isinstance(c, dict))
    return RunFacts(header=ledger.header, jit=jit)


def _took_effect(variation: Variation, folder: Path, baseline: Path) -> bool:
    """Return whether the effective value differs from the baseline's, as far as ledgers record it."""
    if variation.achieved is None:
        return True
    now = variation.achieved(read_run_facts(folder))
    return now is None or bool(now != variation.achieved(read_run_facts(baseline)))


def _place(divergence: Divergence) -> str:
    """Return where two runs diverged, counted from 1: `"epoch 3 of fit 1"`."""
    number = 0 if divergence.index is None else divergence.index + 1
    if divergence.kind == "epoch" and divergence.epoch is not None and divergence.fit is not None:
        return f"epoch {divergence.epoch + 1} of fit {divergence.fit + 1}"
    if divergence.fit is not None:
        return f"the {'end' if divergence.kind == 'end' else 'start'} of fit {divergence.fit + 1}"
    if divergence.kind == "loop" and divergence.step:
        return f"step {divergence.step} of loop {number}"
    return f"{divergence.kind} {number}" if number else "the script's exit"


def _distance(baseline: Path, ledger: Path) -> float | None:
    """Return the largest relative distance over the layers at the divergence; None if it is not known."""
    try:
        found = how_far(distances(baseline, ledger))
        return 0.0 if found is None else found.parting.largest
    except ReproError:  # a verdict does not depend on it
        return None
