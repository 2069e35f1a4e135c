"""Differences in the data that was given to fit, or in the batch of a step."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keras_repro.comparison.differences.data_diff import differing_arguments
from keras_repro.root_cause.diagnosis_case import SEED_OR_OWN, SET_SEED, DiagnosisCase
from keras_repro.root_cause.explanation import Explanation
from keras_repro.root_cause.rules.adapted_layers import line_of_adapted_data
from keras_repro.source_code.fixes import suggest_fix, without_argument
from keras_repro.source_code.nondeterminism import SOURCE, nondeterminism_level
from keras_repro.source_code.statements import statement_text
from keras_repro.storage.divergence_report import Difference
from keras_repro.storage.trace_file import (
    BatchEvent,
    ConstructionEvent,
    DataEvent,
    FitEvent,
    StepEndEvent,
    StepPosition,
    VariableEvent,
)
from keras_repro.utils.source_line import SourceLine
from keras_repro.utils.untrusted_json import as_mapping


def input_data(case: DiagnosisCase) -> Explanation | None:
    """Explain different data given to fit, or a different batch."""
    return given_data(case) or _batch(case)


def given_data(case: DiagnosisCase) -> Explanation | None:
    """Explain different data given to fit, to an evaluation or to a prediction."""
    for what, event, reference in _described_data(case):
        left, right = event or {}, reference or {}
        if left.get("digest") == right.get("digest") or not left.get("digest"):
            continue
        same_rows = left.get("rows") and left.get("rows") == right.get("rows")
        root = case.root_line(*case.method_calls())
        if root is not None and not case.is_source(root) and not nondeterminism_level(root.code):
            root = line_of_adapted_data(case, user=root) or root
        return case.explanation(
            "data_order" if same_rows else "data_values",
            f"{what} {'holds the same samples in another order' if same_rows else 'has other values'}",
            source=root or next(iter(case.method_calls()), None),
            evidence=[f"digests of {what}: {left['digest'][:12]} and {right['digest'][:12]}"],
            subject=_subject(what, left, right),
        )
    return None


def _subject(what: str, left: Mapping[str, Any], right: Mapping[str, Any]) -> str:
    """Return the arguments that differ, in words."""
    arguments = differing_arguments(as_mapping(left.get("parts")), as_mapping(right.get("parts")))
    if not arguments:
        return what
    return what.replace("the data", arguments) if "given to" in what else f"{arguments} of {what}"


_Description = Mapping[str, Any] | None  # of data, as the ledger has it


def _described_data(case: DiagnosisCase) -> Iterator[tuple[str, _Description, _Description]]:
    """Yield a name and both descriptions of each kind of data that could explain the event."""
    names = {"data": "the data given to fit"}
    if {section for section, _ in case.differing_tensors()} <= {"metrics", "results"}:
        names["validation_data"] = "the validation data"
    for fit in case.context(FitEvent):
        for name, what in names.items():
            yield what, getattr(fit.event, name, None), getattr(fit.reference, name, None)
    if case.record_kind in ("evaluation", "prediction"):
        for data in case.context(DataEvent):
            what = f"the data given to {case.record_kind}"
            yield what, getattr(data.event, "data", None), getattr(data.reference, "data", None)


def _batch(case: DiagnosisCase) -> Explanation | None:
    batches = case.context(BatchEvent, nearby=True)
    if not isinstance(case.event, StepEndEvent) or not batches:
        return None
    event = batches[0].event
    different = _parts_that_differ(batches[0], in_fit=case.event.position.in_fit)
    # If the inputs agree, the labels do not belong to them: that is no other order.
    inputs_differ = re.match(r"(inputs|part 1)\b|$", different) is not None
    change = _change_of_batches(case, event) if inputs_differ else "other values"
    sentence = {
        "another order": "the step got the same samples in another order",
        "other samples": "the step got other samples of the same data",
        "other values": "the step got other values",
    }[change]
    source, evidence = _pipeline_line(case, change)
    if source is None:
        root = case.root_line(*case.method_calls(), nearby=True)
        source = root or next(iter(case.method_calls()), None)
    different = different or "all parts"
    evidence.append(f"parts of the batch that differ: {different}")
    return case.explanation(
        "data_order" if change == "another order" else "data_values",
        sentence,
        source=source,
        evidence=evidence,
        fix=_pipeline_fix(evidence, source, epochs=_epochs(case)),
        subject=f"{different} of the batch",
    )


def _parts_that_differ(batch: Difference[BatchEvent], *, in_fit: bool) -> str:
    """Return the parts of a batch that differ, in words; empty if they are not known."""
    names = {"0": "inputs", "1": "labels", "2": "sample weights"} if in_fit else {}
    left, right = (
        {
            names.get(number, f"part {int(number) + 1}") + keys: digest
            for part, digest in (event.parts if event is not None else {}).items()
            for number, keys in [_split(part)]
        }
        for event in (batch.event, batch.reference)
    )
    return differing_arguments(left, right)


def _split(part: str) -> tuple[str, str]:
    """Return the position of a part of a batch, and the keys in it: `"0"` and `"['age']"`."""
    number, bracket, keys = part.partition("[")
    return number, bracket + keys


def _change_of_batches(case: DiagnosisCase, event: BatchEvent | None) -> str:
    """Return how the samples of the epoch differ: their order, the samples, or their values."""
    assert isinstance(case.event, StepEndEvent)
    here, first = case.event.position, case.evidence.first
    reference = [row for batch in _batches_of_epoch(case, len(first), here) for row in batch.rows]
    # Up to this step, the batches of both processes are the same.
    before = [b for b in _batches_of_epoch(case, case.report.interval, here) if b.position != here]
    rows = [row for batch in before for row in batch.rows]
    rows += event.rows if event is not None else ()
    rows += [row for batch in case.state.remaining_rows for row in batch]
    if not rows or not reference:
        return "other values"
    if not here.in_fit and set(rows) <= set(reference):
        return "another order"  # the rest of a custom loop's data is unknown
    if sorted(rows) == sorted(reference):
        return "another order"
    if event is not None and not _are_known(case, event):
        return "other values"
    common = set(rows) & set(reference)
    if len(set(rows)) < len(rows) or len(set(reference)) < len(reference):
        return "other samples" if common else "other values"  # drawn with replacement
    return "other samples" if len(common) > len(set(rows)) // 2 else "other values"


def _are_known(case: DiagnosisCase, event: BatchEvent) -> bool:
    """Return whether most samples that are new in a batch occur anywhere in the first process."""
    batches = [e for interval in case.evidence.first for e in interval.context if isinstance(e, BatchEvent)]
    here = {row for batch in batches if batch.position == event.position for row in batch.rows}
    known = {row for batch in batches for row in batch.rows}
    new = [row for row in event.rows if row not in here]
    return 2 * sum(row in known for row in new) >= len(new)


def _batches_of_epoch(case: DiagnosisCase, intervals: int, position: StepPosition) -> list[BatchEvent]:
    """Return the batches of an epoch in the first intervals of the first process."""
    return [
        event
        for interval in case.evidence.first[:intervals]
        for event in interval.context
        if isinstance(event, BatchEvent)
        and (event.position.fit, event.position.epoch) == (position.fit, position.epoch)
    ]


def step_draws_data(case: DiagnosisCase) -> Explanation | None:
    """Explain a function of a custom training loop that draws its batches from a dataset itself."""
    if not case.state.draws_data:
        return None
    stage, risk = _riskiest_stage(case, "another order")
    root = case.root_line(*case.method_calls(), strict=True) if stage is None else None
    is_order = stage is not None and ("shuffle(" in stage.code or "order" in risk)
    source = stage or root
    return case.explanation(
        "data_order" if is_order else "data_values",
        "the step draws from a dataset that does not repeat itself",
        source=source,
        evidence=[f"in the pipeline: {risk}"] if risk else [],
        fix=None if source is None else suggest_fix(statement_text(source.file, source.line)),
    )


# Words in the risks of a stage, the likeliest first, by the change of the batches.
_RISKS = {
    "another order": ("order", "seed", "workers", "thread", "generator", "Python"),
    "other samples": ("random", "seed", "order", "generator", "Python", "thread", "workers"),
    "other values": ("Python", "random", "seed", "workers", "generator", "thread", "order"),
}


def _pipeline_line(case: DiagnosisCase, change: str) -> tuple[SourceLine | None, list[str]]:
    """Return the line that made a batch differ: a line that differs, else a stage that may not repeat."""
    stage, risk = _riskiest_stage(case, change)
    if "not deterministic" in risk and (stage is None or "deterministic" not in stage.code):
        stage = case.code.only_statement(r"deterministic\s*=\s*False") or stage
    evidence = [f"in the pipeline: {risk}"] if risk else []
    if case.nearby_suspects():
        return case.root_line(*case.method_calls(), nearby=True), evidence
    may_reorder = any(word in risk for word in ("order", "seed", "workers", "thread"))
    if change == "another order" and may_reorder:
        return stage, evidence
    root = case.background_thread_line()
    if root is not None and (change != "another order" or nondeterminism_level(root.code) == SOURCE):
        return root, evidence
    of_model = [layer.source for layer in case.state.layers.values() if layer.source]
    for difference in case.context(VariableEvent):
        variable = difference.event
        # A generator of the model's own layers does not influence its input.
        if variable and variable.is_seed and variable.source and variable.source not in of_model:
            owner = variable.layer or "the script"
            return variable.source, [f"the seed generator of {owner} had a different initial state"]
    root = case.root_line(*case.method_calls(), strict=True) or root
    return root or stage, evidence


def _riskiest_stage(case: DiagnosisCase, change: str) -> tuple[SourceLine | None, str]:
    """Return the stage of the pipeline that most likely made the change, and why it may not repeat."""
    words = _RISKS[change]
    calls = case.method_calls()
    ranked = [
        # A stage that Keras itself adds comes last; the user may make a PyDataset in the same line.
        (
            rank + len(words) * (event.source in calls and event.what != "PyDataset"),
            event.source,
            f"{event.what} with {risk}",
        )
        for interval in case.evidence.first
        for event in interval.context
        if isinstance(event, ConstructionEvent)
        for risk in event.risks
        if (rank := next((i for i, word in enumerate(words) if word in risk), None)) is not None
    ]
    if not ranked:
        return None, ""
    _, source, risk = min(ranked, key=lambda stage: stage[0])
    return source, risk


# Under any seed of the process or of the operation, a random operation in a map repeats in each epoch.
SEED_EACH_ELEMENT = (
    "draw by tf.random.stateless_* with another seed for each element and epoch, for example from "
    "tf.data.Dataset.random(seed=42, rerandomize_each_iteration=True), zipped to the data"
)
_ONE_AFTER_ANOTHER = "leave out num_parallel_calls, or draw by tf.random.stateless_* by the element's number"


def _epochs(case: DiagnosisCase) -> int:
    """Return the largest number of epochs of a fit."""
    events = (event for interval in case.evidence.first for event in interval.context)
    fits = (event.arguments for event in events if isinstance(event, FitEvent))
    return max((int((arguments or {}).get("epochs", 1)) for arguments in fits), default=1)


def _pipeline_fix(evidence: Sequence[str], source: SourceLine | None, *, epochs: int) -> str | None:
    text = "" if source is None else statement_text(source.file, source.line)
    fix = suggest_fix(text)
    races = any("workers" in e or "thread" in e for e in evidence)
    has_no_seed = fix is not None and "seed=42" in fix and "seed=42" not in text
    if fix is not None and (nondeterminism_level(text) == SOURCE or not races or has_no_seed):
        return fix
    if races:
        return "make each sample from (seed, epoch, index) alone, or use workers=1"
    if epochs > 1 and any("random operation" in e and "without a seed" in e for e in evidence):
        return SEED_EACH_ELEMENT
    in_parallel = next((e for e in evidence if "random operation" in e and "in parallel" in e), None)
    if in_parallel is not None:
        seeds = f"  # with {SET_SEED} first of all" if "without a seed" in in_parallel else ""
        return f"{without_argument(text, 'num_parallel_calls') or _ONE_AFTER_ANOTHER}{seeds}"
    if any("without a seed" in e for e in evidence):
        return SEED_OR_OWN
    if any("no seed" in e or e.startswith("the seed generator of") for e in evidence):
        return f"{SET_SEED}  # first of all"
    return None
