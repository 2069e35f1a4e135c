"""One training under one variation, and what it came to beside the baseline.

run = VariedRun(name="threads", change=change, variation=variation)
...
judged(run, outcome, baseline)
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
from keras_repro.processes.file_listing import FileListing
from keras_repro.processes.outcome import raise_for_outcome
from keras_repro.processes.protocol import DIVERGED
from keras_repro.processes.workspace import Workspace
from keras_repro.storage.run_folder import LEDGER_NAME
from keras_repro.workflows.vary.catalogue import Variation
from keras_repro.workflows.vary.changes import Change, RunFacts
from keras_repro.workflows.vary.results import VariationOutcome


@dataclass(kw_only=True)
class VariedRun:
    """One training that is to be compared with the baseline.

    Attributes:
        name: of the variation, or what else the run is for.
        change: what is changed for it.
        variation: the variation, None for the baseline and its repeat.
        folder: its run folder.
        place: the copy of the user's folder that it works in.
        before: what was in that copy before it began.
        beside: which of the copies side by side that is, 0 where there is one.
    """

    name: str
    change: Change
    variation: Variation | None = None
    folder: Path = Path()
    place: Workspace | None = None
    before: FileListing | None = None
    beside: int = 0


def judged(run: VariedRun, outcome: Outcome, baseline: Path) -> VariationOutcome:
    """What a run came to.

    Args:
        run: the run, which has ended.
        outcome: how its process ended.
        baseline: the baseline's ledger.

    Raises:
        LedgerError: a ledger cannot be read.
    """
    ledger = run.folder / LEDGER_NAME
    said = VariationOutcome(
        name=run.name,
        changes=run.variation.changes if run.variation else run.change.says,
        verdict="repeats",
        change=run.change.says,
        why=run.variation.why if run.variation else "",
        pin=run.variation.pin if run.variation else "",
        ledger=str(ledger) if ledger.exists() else None,
    )
    if outcome.code != DIVERGED:
        try:
            raise_for_outcome(outcome, run.folder, name="it")
        except LaunchError as error:
            reason = str(error).removeprefix("it ").removeprefix("it: ")
            return replace(said, verdict="could not run", reason=reason, output=error.output)
    comparison = compare_all([baseline, ledger], same_script=True)
    said = replace(said, comparison=comparison)
    if comparison.verdict == "identical":
        took = run.variation is None or _took_effect(run.variation, run.folder, baseline)
        reason = "the script sets it itself, or something overrides it: it is as in the baseline"
        return said if took else replace(said, verdict="not tried", reason=reason)
    divergence = comparison.divergence
    if divergence is None:
        return replace(said, verdict="differs", reason=str(comparison.reason))
    distance = _distance(baseline, ledger)
    return replace(said, verdict="differs", where=_where(divergence), distance=distance)


def not_tried(variation: Variation, reason: str) -> VariationOutcome:
    return VariationOutcome(
        name=variation.name,
        changes=variation.changes,
        verdict="not tried",
        reason=reason,
        why=variation.why,
        pin=variation.pin,
    )


def seen_in(folder: Path) -> RunFacts:
    file = open_ledger(folder)
    fits = [r.extra.get("configuration") for r in file.typed_records() if r.kind == "fit"]
    jit = tuple(bool(c.get("jit_compile")) for c in fits if isinstance(c, dict))
    return RunFacts(header=file.header, jit=jit)


def _took_effect(variation: Variation, folder: Path, baseline: Path) -> bool:
    """Whether what was in effect is not what the baseline had, as far as ledgers tell."""
    if variation.achieved is None:
        return True
    now = variation.achieved(seen_in(folder))
    return now is None or bool(now != variation.achieved(seen_in(baseline)))


def _where(divergence: Divergence) -> str:
    """Where two runs parted, counted from 1: `"epoch 3 of fit 1"`."""
    number = 0 if divergence.index is None else divergence.index + 1
    if divergence.kind == "epoch" and divergence.epoch is not None and divergence.fit is not None:
        return f"epoch {divergence.epoch + 1} of fit {divergence.fit + 1}"
    if divergence.fit is not None:
        return f"the {'end' if divergence.kind == 'end' else 'start'} of fit {divergence.fit + 1}"
    if divergence.kind == "loop" and divergence.step:
        return f"step {divergence.step} of loop {number}"
    return f"{divergence.kind} {number}" if number else "the script's exit"


def _distance(a: Path, b: Path) -> float | None:
    """The largest relative distance over the layers where their weights part; None if it is not known."""
    try:
        found = how_far(distances(a, b))
        return 0.0 if found is None else found.parting.largest
    except ReproError:  # a verdict does not depend on it
        return None
