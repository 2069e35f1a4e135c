"""The step itself: the same state and the same batch gave another result, as its replay shows."""

from __future__ import annotations

from typing import Any

from keras_repro.determinism.operation_catalogue import STATEFUL_RANDOM
from keras_repro.root_cause.diagnosis_case import SEED_OR_OWN, DiagnosisCase, seeds_set
from keras_repro.root_cause.explanation import Explanation
from keras_repro.root_cause.rules.input_data import step_draws_data
from keras_repro.root_cause.rules.replay_taps import (
    first_tap,
    first_tap_between_processes,
    layer_of,
    operation_for,
    repeating_text,
    tap_text,
)
from keras_repro.root_cause.suspects import OWN_GENERATORS
from keras_repro.source_code.fixes import suggest_fix
from keras_repro.source_code.nondeterminism import nondeterminism_level
from keras_repro.source_code.statements import statement_text
from keras_repro.storage.divergence_report import OperationReport, ReplayReport, TappedReport
from keras_repro.storage.trace_file import StepEndEvent, VariableEvent
from keras_repro.utils.source_line import SourceLine

_OUTSIDE_THE_STATE = "the step uses a value that differs between processes and is not part of the model state"


def train_step(case: DiagnosisCase) -> Explanation | None:
    """Explain another result from the same state and the same batch."""
    if not isinstance(case.event, StepEndEvent):
        return None
    replay = case.state.replay
    case.ruled_out.append("the state before the step was the same")
    drawn = step_draws_data(case) if replay is not None and not replay.agrees else None
    if drawn is not None:
        return drawn
    case.ruled_out.append("the batch was the same")
    if replay is None:
        root = case.root_line(*case.method_calls(), nearby=True)
        sentence = "the same step on the same batch gave another result; it could not be replayed"
        return case.explanation("operation", sentence, source=root)
    return _replayed(case, replay, replay.tapped or TappedReport())


def several_threads(case: DiagnosisCase) -> Explanation | None:
    """Explain several threads that train the same weights in an order that changes."""
    threads = case.stepping_threads()
    if not threads:
        return None
    nearby = next((s.source for s in case.nearby_suspects()), None)
    return case.explanation(
        "environment",
        f"{threads} threads train the same weights, in an order that changes from run to run",
        source=case.running_thread() or nearby or case.background_thread_line(),
        fix="collect the gradients of all threads in a fixed order, and apply them in one thread",
    )


def _replayed(case: DiagnosisCase, replay: ReplayReport, tapped: TappedReport) -> Explanation:
    if replay.fewer_taps is not None:
        case.noticed.append(f"replayed with fewer tensors: {replay.fewer_taps}")
    if tapped.error is not None:
        case.noticed.append(f"the step could not be inspected: {tapped.error}")
    elif not tapped.faithful and replay.agrees:
        case.noticed.append("while it is inspected, the step does not give the recorded result")
    if not replay.agrees:
        # A draw from a counter never repeats in one process, but it does from process to process.
        counted = None
        if _draws_only_from_counters(case, tapped):
            counted = _differs_between_processes(case, tapped) if tapped.taps else _not_found(case, tapped)
        return counted or _other_tensorflow_seed(case, tapped) or _not_repeating(case, tapped, "")
    if not replay.agrees_drawing_on:
        return _not_repeating(case, tapped, ": it draws from the process's own random generators")
    if not replay.faithful:
        return _unfaithful(case, tapped)
    case.ruled_out.append("replayed in one process, the step repeats itself")
    if case.evidence.varied and not case.nearby_suspects():
        return _rounded(case, tapped)
    return (
        _drawn_while_traced(case, tapped)
        or _differs_between_processes(case, tapped)
        or _not_found(case, tapped)
    )


def _draws_only_from_counters(case: DiagnosisCase, tapped: TappedReport) -> bool:
    """Return whether all suspicious operations draw by one seed of TensorFlow that both processes set."""
    if not all(o.seeded for o in tapped.operations):
        return False
    types = {o.type for o in tapped.operations}
    return bool(types) and types <= STATEFUL_RANDOM and len(set(_tensorflow_seeds(case)) - {None}) == 1


def _other_tensorflow_seed(case: DiagnosisCase, tapped: TappedReport) -> Explanation | None:
    """Explain an operation that draws by TensorFlow's seed, if the two processes set different ones."""
    seeds = _tensorflow_seeds(case)
    chosen = next((o for o in tapped.operations if o.type in STATEFUL_RANDOM), None)
    if chosen is None or None in seeds or len(set(seeds)) < 2:
        return None
    patterns = (r"\brandom\.set_seed\(", r"\b(set_seed|set_random_seed)\(")
    source = next((s for p in patterns if (s := case.code.only_statement(p))), None)
    return case.explanation(
        "operation",
        f"{chosen.type} draws by TensorFlow's seed, {seeds[0]} in one run and {seeds[1]} in the other",
        source=source or chosen.source,
        layer=layer_of(case, None, chosen),
        operation=chosen.type,
        evidence=[f"in its graph: {chosen.type}"],
    )


def _tensorflow_seeds(case: DiagnosisCase) -> tuple[Any, Any]:
    return seeds_set(case).get("tensorflow"), seeds_set(case, second=True).get("tensorflow")


def _not_repeating(case: DiagnosisCase, tapped: TappedReport, reason: str) -> Explanation:
    """Explain a step whose repetitions differ from each other: an operation in it is the cause."""
    tap = first_tap(tapped, lambda digests: digests[0] != digests[1])
    chosen = operation_for(tap, tapped.operations)
    layer = layer_of(case, tap, chosen)
    generator = _generator_outside(case) if chosen is None else None
    if generator is not None and generator.source is not None:
        return case.explanation(
            "random_state",
            "a random generator that the model does not hold had a different initial state",
            source=case.root_line(generator.source, strict=True) or generator.source,
            layer=layer,
            evidence=[tap_text(tap)] if tap is not None else [],
        )
    on_host = chosen is not None and "PyFunc" in chosen.type
    source = None if chosen is None else chosen.source
    if on_host or source is None:
        root = None
        if case.nearby_suspects():
            root = case.root_line(nearby=True)
        elif on_host:
            root = case.background_thread_line()
        source = root or source or layer.source
    evidence = ["replayed from the same state with the same batch, its results differ from each other"]
    if tapped.taps:
        evidence.append(repeating_text(tapped) if tap is None else tap_text(tap))
    if chosen is not None:
        evidence.append(f"in its graph: {chosen.type}")
    if chosen is None:
        sentence = "an operation does not repeat itself"
    elif on_host:
        sentence = "Python code that the graph calls gives other values"
    elif chosen.type == "Timestamp":
        sentence = "the step reads the clock"
    else:
        sentence = f"{chosen.type} draws from a counter of its own that no seed sets"
    return case.explanation(
        "operation",
        sentence + reason,
        source=source,
        layer=layer,
        operation=None if chosen is None else chosen.type,
        evidence=evidence,
        fix=None if chosen is None or chosen.seeded else _seed_for(chosen, source),
    )


def _generator_outside(case: DiagnosisCase) -> VariableEvent | None:
    """Return the first random generator with a different initial state that no layer of the model made."""
    of_model = {layer.source for layer in case.state.layers.values()}
    variables = [d.event for d in case.context(VariableEvent) if d.event and d.reference]
    return next((v for v in variables if v.is_seed and v.source and v.source not in of_model), None)


def _seed_for(operation: OperationReport, source: SourceLine | None) -> str:
    fix = None if source is None else suggest_fix(statement_text(source.file, source.line) or source.code)
    fix = fix or SEED_OR_OWN
    # Its kernel has no other seeded mode.
    return f"{fix}  # its regions are then the same in each step" if "Fractional" in operation.type else fix


def _unfaithful(case: DiagnosisCase, tapped: TappedReport) -> Explanation:
    """Explain a step whose repetitions agree with each other, but not with the recorded result."""
    chosen = operation_for(None, tapped.operations)
    root = case.root_line(*case.method_calls(), nearby=True)
    return case.explanation(
        "operation" if chosen is not None or case.nearby_suspects() else "unknown",
        "the step depends on something outside the state and the batch, which has changed since",
        source=root or (chosen.source if chosen else None),
        operation=None if chosen is None else chosen.type,
        layer=layer_of(case, None, chosen),
        evidence=["the replay is not faithful: it repeats itself, but not the recorded result"],
    )


def _drawn_while_traced(case: DiagnosisCase, tapped: TappedReport) -> Explanation | None:
    """Explain a step that differs when it is traced again: Python drew a constant of its graph."""
    tap = first_tap(tapped, lambda digests: digests[0] != digests[2])
    if tap is None:
        return None
    layer = layer_of(case, tap)
    root = case.root_line(tap.source, nearby=True)
    return case.explanation(
        "operation",
        "a value is drawn in Python while the step is traced, and stays in its graph as a constant",
        source=root or layer.source,
        layer=layer,
        evidence=["traced again in the same process, it computes something else", tap_text(tap)],
    )


def _rounded(case: DiagnosisCase, tapped: TappedReport) -> Explanation:
    """Explain changed conditions under which no line of the user's differs: operations round differently."""
    found = first_tap_between_processes(case, tapped)
    if found is None:
        return case.explanation(
            "environment",
            "the same step on the same batch gives other bits; while it is inspected, it does not",
        )
    tap, distance = found
    layer = layer_of(case, tap)
    if tap.kind == "gradient":
        layer = case.owner(tap.name) or layer
    return case.explanation(
        "environment",
        "the same step on the same batch gives other bits",
        source=layer.source,
        layer=layer,
        evidence=[tap_text(tap), f"between the two conditions {distance}"],
    )


def _differs_between_processes(case: DiagnosisCase, tapped: TappedReport) -> Explanation | None:
    """Explain a step that repeats itself in one process, but not in another one."""
    found = first_tap_between_processes(case, tapped)
    if found is None:
        return None
    tap, distance = found
    chosen = operation_for(tap, tapped.operations)
    layer = layer_of(case, tap, chosen)
    evidence = [tap_text(tap), f"between two processes {distance}"]
    if _python_draws(case):
        return case.explanation(
            "operation",
            "the step computes with a value that Python gave while it ran or was traced",
            source=case.root_line(nearby=True),
            layer=layer,
            evidence=evidence,
        )
    root = case.root_line(layer.source, *case.method_calls())
    if chosen is not None and root is None:
        return case.explanation(
            "operation",
            f"{chosen.type} gives other values in each process",
            source=chosen.source,
            layer=layer,
            operation=chosen.type,
            evidence=evidence,
        )
    return case.explanation(
        "configuration",
        _OUTSIDE_THE_STATE,
        source=root or layer.source,
        layer=layer,
        evidence=evidence,
    )


def _python_draws(case: DiagnosisCase) -> bool:
    """Return whether a line of Python that ran in the step, or traced it, draws or reads the clock."""
    return any(
        OWN_GENERATORS & set(s.names) or nondeterminism_level(s.source.code) for s in case.nearby_suspects()
    )


def _not_found(case: DiagnosisCase, tapped: TappedReport) -> Explanation:
    """Explain a step in which no tensor was found to differ."""
    root = case.root_line(*case.method_calls(), nearby=True)
    chosen = operation_for(None, tapped.operations)
    if root is None and chosen is None:
        sentence = "the same step on the same batch gave another result"
        thread = case.running_thread()
        if thread is not None:
            sentence += ", while a thread of the script was running"
            return case.explanation("environment", sentence, source=thread)
        return case.explanation("unknown", f"{sentence}; replayed, it gives the recorded one")
    is_setting = root is not None and not _python_draws(case)
    return case.explanation(
        "configuration" if is_setting else "operation",
        _OUTSIDE_THE_STATE
        if is_setting
        else "the same step on the same batch gives another result in another process",
        source=root or (chosen.source if chosen else None),
        operation=None if chosen is None else chosen.type,
        layer=layer_of(case, None, chosen),
    )
