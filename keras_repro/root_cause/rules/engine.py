"""Find the cause: the first place where the same inputs gave different outputs.

Each rule explains one kind of place, or returns None: configuration, initial values, seed generators, data,
callbacks, and last the step itself, which was replayed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from keras_repro.root_cause.diagnosis_case import SET_SEED, DiagnosisCase
from keras_repro.root_cause.evidence import Evidence
from keras_repro.root_cause.explanation import Explanation, FurtherSource
from keras_repro.root_cause.rules.before_training import configuration, initial_values, seed_generators
from keras_repro.root_cause.rules.between_steps import between_steps, draws
from keras_repro.root_cause.rules.conclusion import conclude
from keras_repro.root_cause.rules.input_data import given_data, input_data
from keras_repro.root_cause.rules.outside_fit import results, structure
from keras_repro.root_cause.rules.train_step import several_threads, train_step
from keras_repro.utils.source_line import SourceLine

_RULES: tuple[Callable[[DiagnosisCase], Explanation | None], ...] = (
    configuration,
    initial_values,
    seed_generators,
    several_threads,
    input_data,
    structure,
    between_steps,
    draws,
    train_step,
    results,
)


def explain(evidence: Evidence) -> Explanation:
    """Return the cause; `unknown`, with what was ruled out, if no rule applies."""
    case = DiagnosisCase(evidence)
    explanations = (rule(case) for rule in _RULES)
    found = next((e for e in explanations if e is not None), None)
    if found is None:
        source = case.root_line()
        found = case.explanation("unknown", "the cause of the difference was not found", source=source)
    return _under_conditions(_with_further_sources(case, conclude(case, found)), evidence.varied)


def _with_further_sources(case: DiagnosisCase, explanation: Explanation) -> Explanation:
    """Return the explanation with the sources of other differences before the first step."""
    if explanation.cause not in ("configuration", "initial_weights", "random_state"):
        return explanation
    sources: dict[SourceLine, FurtherSource] = {}
    for rule in (initial_values, seed_generators, given_data):
        found = rule(case)
        further = None if found is None else conclude(case, found)
        if further and further.source and case.is_source(further.source):
            sources[further.source] = FurtherSource(source=further.source, fix=further.fix)
    also = [further for line, further in sources.items() if line != explanation.source]
    fix = explanation.fix
    if fix is not None and fix.startswith(SET_SEED):
        # One call is the fix for all: before the first of these lines.
        fix = next((f.fix for f in also if f.fix is not None and f.fix.startswith(SET_SEED)), fix)
        also = [replace(f, fix=fix) if (f.fix or "").startswith(SET_SEED) else f for f in also]
    return replace(explanation, also=tuple(also), fix=fix)


def _under_conditions(explanation: Explanation, varied: str | None) -> Explanation:
    """Return the explanation with varied conditions as the cause, and the place that they reached."""
    if varied is None:
        return explanation
    evidence = explanation.evidence
    if explanation.cause != "environment":
        evidence = (*evidence, f"taken alone, the cause would be: {explanation.cause}")
    sentence = f"with other {varied}: {explanation.sentence}"
    return replace(explanation, cause="environment", sentence=sentence, evidence=evidence)
