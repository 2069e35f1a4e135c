"""From the evidence of diagnosing processes to the cause: where agreeing inputs gave other outputs first.

Each rule looks at what can have come first, and passes on where it does not fit: configuration, first values,
seed generators, data, what callbacks set, and last the step itself, which was replayed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from keras_repro.root_cause.evidence import DiagnosisCase, as_source
from keras_repro.root_cause.evidence import Evidence as Evidence
from keras_repro.root_cause.explanation import Explanation
from keras_repro.root_cause.rules.before_training import configuration, first_values, seed_generators
from keras_repro.root_cause.rules.between_steps import between_steps
from keras_repro.root_cause.rules.conclusion import conclude
from keras_repro.root_cause.rules.input_data import data
from keras_repro.root_cause.rules.outside_fit import results, structure
from keras_repro.root_cause.rules.train_step import of_threads, step

_RULES: tuple[Callable[[DiagnosisCase], Explanation | None], ...] = (
    configuration,
    first_values,
    seed_generators,
    of_threads,
    data,
    structure,
    between_steps,
    step,
    results,
)


def explain(evidence: Evidence) -> Explanation:
    """Finds the cause; `unknown`, with what was ruled out, where no rule fits."""
    case = DiagnosisCase(evidence)
    for rule in _RULES:
        found = rule(case)
        if found is not None:
            return _of_surroundings(conclude(case, found), evidence.varied)
    unknown = case.said("unknown", "what made them differ was not found", source=as_source(case.root()))
    return _of_surroundings(conclude(case, unknown), evidence.varied)


def _of_surroundings(found: Explanation, varied: str | None) -> Explanation:
    """An explanation of varied surroundings: these are the cause, and what they reached is said."""
    if varied is None:
        return found
    reached = f"seen by itself this would be: {found.cause}"
    evidence = found.evidence if found.cause == "environment" else (*found.evidence, reached)
    return replace(
        found, cause="environment", sentence=f"with other {varied}: {found.sentence}", evidence=evidence
    )
