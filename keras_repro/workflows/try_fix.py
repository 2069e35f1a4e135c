"""Try the fix of a diagnosis: apply it in a copy of the script's folders, and run the script twice again.

The user's own files are never written. A fix is verified only if the runs agree up to the place where they
diverged, and if it takes no randomness away: the first run with the fix has as many different batches,
samples, orders of epochs, values of lines and initial values as the first run of the diagnosis. For a race,
five runs are made whose threads switch far more often; what is not seen in them may still happen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from keras_repro.comparison.divergence import Divergence
from keras_repro.errors import LaunchError
from keras_repro.ledger.reader import open_ledger
from keras_repro.processes.child import LAUNCHER, Launcher
from keras_repro.processes.leftover_workspace import LeftoverWorkspace
from keras_repro.processes.task import Task, Watcher
from keras_repro.processes.workspace import Workspace
from keras_repro.provenance.module_lookup import main_file, script_file
from keras_repro.root_cause.explanation import Explanation
from keras_repro.root_cause.fix_trial import FixTrial
from keras_repro.root_cause.lost_randomness import lost_randomness
from keras_repro.root_cause.repeated_seed import repeated_seed
from keras_repro.root_cause.rules.input_data import SEED_EACH_ELEMENT
from keras_repro.source_code.fix_edit import placed_call
from keras_repro.source_code.fixed_files import FixedFiles
from keras_repro.source_code.nondeterminism import reads_clock
from keras_repro.storage.divergence_report import DivergenceReport
from keras_repro.storage.run_folder import TRACE_NAME
from keras_repro.storage.trace_file import (
    BatchEvent,
    Interval,
    LineEvent,
    StepEvent,
    ThreadLineEvent,
    read_trace,
)
from keras_repro.workflows.diagnose import last_epoch, with_second_epoch
from keras_repro.workflows.diagnosing_runs import DiagnosingRuns, replaced_runs

_RUNS, _RUNS_OF_A_RACE = 2, 5

_PREFIX = "fixed-"
_ONE_GENERATOR = "make a generator with a seed once, before the training, and draw from it in this line"
# What a framework does with any seed is no fault of the fix, but has to be said.
_SAME_REGIONS = "with any seed, TensorFlow draws the regions of fractional pooling alike in each step"
_SAME_ORDER = (
    "with any seed, Keras shuffles arrays alike in each epoch: tf.data.Dataset.shuffle or "
    "ReproducibleTrainer shuffles them anew"
)


def try_fix(
    task: Task,
    explanation: Explanation,
    divergence: Divergence | None,
    *,
    folder: Path,
    launcher: Launcher = LAUNCHER,
    watcher: Watcher | None = None,
    created: Sequence[str] = (),
) -> Explanation:
    """Apply the fix of an explanation in a copy, and run the script again.

    Args:
        task: the task of the diagnosis.
        explanation: its result.
        divergence: where the runs diverged, None if not known: no training continues after that epoch, or the
            second one of its fit.
        folder: the folder of the diagnosis, with its traces; gets a folder `fixed-1`, `fixed-2`, ... for each
            process.
        launcher: starts each process.
        watcher: called on progress.
        created: files that the first run has made and that did not exist before.

    Returns:
        The explanation with `fix_tried`. A fix that takes randomness away is replaced by advice.

    Raises:
        RunFolderError: `folder` is in use, or cannot be written.
    """
    fixed = fixed_files(task, explanation)
    if fixed is None:
        tried = FixTrial(result="not applicable", reason="the fix is not a change of code")
        return replace(explanation, fix_tried=tried)
    with replaced_runs(folder, _RUNS_OF_A_RACE, prefix=_PREFIX):
        copies = LeftoverWorkspace(task.script, created, folder / "copies", exclude=folder.parent)
        runs = DiagnosingRuns(
            task=task, folder=folder, launcher=launcher, watcher=watcher or Watcher(), prefix=_PREFIX
        )
        try:
            with copies:
                unfixed = list(read_trace(folder / "1" / TRACE_NAME))
                trial = _Trial(explanation, fixed, copies, unfixed)
                tried = trial.result(runs, with_second_epoch(last_epoch(divergence)))
                explanation = replace(explanation, evidence=(*explanation.evidence, *trial.notes))
        except LaunchError as error:  # before the first run, it is that the folders cannot be copied
            tried = FixTrial(result="failed" if runs.count else "not tried", reason=_reason(error))
    if tried.result == "refused":
        is_global = placed_call(explanation.fix or "") is not None
        explanation = replace(explanation, fix=SEED_EACH_ELEMENT if is_global else _ONE_GENERATOR)
    return replace(explanation, fix_tried=replace(tried, trainings=runs.count))


def fixed_files(task: Task, explanation: Explanation) -> FixedFiles | None:
    """Return the user's files with the fix and those of further lines; None if the fix is not code."""
    source, fix = explanation.source, explanation.fix
    if source is None or fix is None:
        return None
    script = main_file(task.module) if task.module is not None else script_file(task.script or "")
    files = FixedFiles(None if script is None else str(script))
    further = [(f.source, f.fix) for f in explanation.also if f.fix is not None]
    return files if files.apply([(source, fix), *further])[0] else None


def trainings_of_trial(explanation: Explanation) -> int:
    """Return how many trainings it takes to try a fix."""
    return _RUNS_OF_A_RACE if explanation.race else _RUNS


class _Trial:
    """One trial of a fix.

    Args:
        explanation: with the fix.
        fixed: the user's files with the fix.
        copies: copies of the user's folders.
        unfixed: the trace of the first process of the diagnosis.

    Attributes:
        notes: what else the runs have shown, a line each.
    """

    def __init__(
        self,
        explanation: Explanation,
        fixed: FixedFiles,
        copies: LeftoverWorkspace,
        unfixed: Sequence[Interval],
    ) -> None:
        self._explanation, self._fixed, self._copies, self._unfixed = explanation, fixed, copies, unfixed
        self.notes: list[str] = []

    def result(self, runs: DiagnosingRuns, last: dict[str, int] | None) -> FixTrial:
        """Run the fixed script, and return the result."""
        explanation = self._explanation
        source, fix = explanation.source, explanation.fix
        assert source is not None
        assert fix is not None
        workspace = self._copies.fresh()
        outside = [f for f, _ in self._fixed.contents() if workspace.copy_of(f) is None]
        if outside:
            return FixTrial(result="not tried", reason=f"{outside[0]} is not in the folders that are copied")
        if source.file not in _files(self._unfixed):  # that process has worked in a copy too
            source = replace(source, file=str(workspace.copy_of(source.file)))
        repeats = repeated_seed(self._unfixed, source, fix)
        if repeats is not None:
            return FixTrial(result="refused", reason=f"it takes randomness away: {repeats}")
        runs.workspace = self._fixed_workspace
        hurried, report = explanation.race, None
        first = runs.run(0, hurried=hurried, last=last)
        fixed = list(read_trace(first.trace))
        if not self._is_loaded(_files(fixed), workspace):
            return FixTrial(
                result="not tried", reason="the script does not load the changed file from the copy"
            )
        for number in range(1, trainings_of_trial(explanation)):
            report = runs.run(number, hurried=hurried, last=last, reference=str(first.trace)).report
            if report is not None:
                break
        if report is not None and not _is_later(report, explanation):
            return FixTrial(result="still diverges", reason=f"runs with it diverge {_place(report)}")
        frozen = _frozen_fits(first.folder)
        lost = lost_randomness(
            self._unfixed,
            fixed,
            # A race makes epochs differ that repeat without it, which is no randomness of the script.
            frozen_fits=_fits(fixed) if hurried else frozen,
            line_after=lambda at: self._line_after(at, workspace),
            with_lines=not reads_clock(source.code),
        )
        if lost is not None:
            return FixTrial(result="refused", reason=f"it takes randomness away: {lost}")
        if report is not None:
            self.notes.append(f"with the fix, runs diverge later, {_place(report)}: diagnose them again")
        if frozen - _frozen_fits(runs.folder / "1"):
            self.notes.append(_SAME_ORDER)
        if "fractional_" in source.code:
            self.notes.append(_SAME_REGIONS)
        if hurried:
            reason = f"in {runs.count} runs whose threads switch often"
            return FixTrial(result="not seen again", reason=reason)
        up_to = f"up to {explanation.place}" if explanation.place else "to the end"
        return FixTrial(result="verified", reason=f"two runs with it agree {up_to}")

    def _fixed_workspace(self, number: int) -> Workspace:
        workspace = self._copies.for_process(number)
        for file, content in self._fixed.contents():
            Path(str(workspace.copy_of(file))).write_bytes(content)
        return workspace

    def _is_loaded(self, files: set[str], workspace: Workspace) -> bool:
        """Return whether the changed files ran from their copies, and not from where they are installed."""
        return all(str(workspace.copy_of(f)) in files for f, _ in self._fixed.contents())

    def _line_after(self, at: tuple[str, int], workspace: Workspace) -> tuple[str, int]:
        """Return the place of a line of the unfixed script in the trace of the fixed one."""
        file = self._copies.original(at[0])
        return str(workspace.copy_of(file) or file), self._fixed.line_after(file, at[1])


def _frozen_fits(folder: Path) -> set[int]:
    """Return the numbers of the fits whose arrays Keras has shuffled under a seed."""
    records = open_ledger(folder).typed_records()
    return {r.fit or 0 for r in records if r.kind == "fit" and r.extra.get("frozen_shuffle")}


def _fits(trace: Sequence[Interval]) -> set[int]:
    events = (event for interval in trace for event in interval.context)
    return {event.position.fit for event in events if isinstance(event, BatchEvent)}


def _files(trace: Sequence[Interval]) -> set[str]:
    events = (event for interval in trace for event in interval.context)
    return {event.file for event in events if isinstance(event, LineEvent | ThreadLineEvent)}


def _is_later(report: DivergenceReport, explanation: Explanation) -> bool:
    """Return whether runs diverge at a later place than the one that was explained."""
    event = report.event
    if not isinstance(event, StepEvent) or None in (explanation.fit, explanation.epoch):
        return False
    place = explanation.fit, explanation.epoch, -1 if explanation.step is None else explanation.step
    return (event.position.fit, event.position.epoch, event.position.step) > place


def _place(report: DivergenceReport) -> str:
    event = report.event
    if not isinstance(event, StepEvent):
        return f"at the record of the {event.record_kind}"
    where = (
        f"fit {event.position.fit + 1}, epoch {event.position.epoch + 1}, " if event.position.in_fit else ""
    )
    return f"at {where}step {event.position.step + 1}"


def _reason(error: LaunchError) -> str:
    lines = error.output.strip().splitlines()
    return f"the script with the fix fails: {lines[-1]}" if lines else str(error)
