"""Differences before the first step: configuration, initial values of weights, seed generators."""

from __future__ import annotations

import re
from collections.abc import Sequence

from keras_repro.comparison.differences.config_diff import first_config_difference, without_consequences
from keras_repro.root_cause.diagnosis_case import NOT_IN_A_THREAD, SET_SEED, DiagnosisCase, seeds_set
from keras_repro.root_cause.explanation import Explanation
from keras_repro.root_cause.rules.adapted_layers import line_of_adapted_data
from keras_repro.root_cause.rules.applicable_fix import applicable_fix
from keras_repro.root_cause.rules.differing_seed import SENTENCE, line_of_differing_seed
from keras_repro.source_code.fixes import suggest_fix
from keras_repro.source_code.statements import statement_text
from keras_repro.storage.divergence_report import LayerDescription
from keras_repro.storage.trace_file import FitEvent, VariableEvent
from keras_repro.utils.source_line import SourceLine
from keras_repro.utils.untrusted_json import as_mapping, as_sequence


def configuration(case: DiagnosisCase) -> Explanation | None:
    """Explain different layers, or different settings of the optimizer or of fit."""
    for difference in case.context(FitEvent):
        event, reference = difference.event, difference.reference
        for part in ("configuration", "arguments"):
            left, right = (without_consequences(getattr(e, part, None)) for e in (event, reference))
            if left == right or (part == "arguments" and _data_differs(event, reference)):
                continue
            found = first_config_difference(left, right, part)
            root = case.root_line(*_constructed(case, event, found.path), strict=True)
            root, thread = root or case.root_line(*case.method_calls()), case.running_thread()
            sentence = f"{found.path} is {found.values[0]} in one run and {found.values[1]} in the other"
            subject = None if case.differing_tensors() else found.path
            if event is None or reference is None:
                sentence, subject = (
                    "one run makes a fit that the other does not make",
                    "the fits of the script",
                )
            no_layer = LayerDescription()
            if root is None and thread is not None:
                sentence += ", while a thread of the script was running"
                return case.explanation(
                    "configuration", sentence, source=thread, fix=NOT_IN_A_THREAD, layer=no_layer
                )
            return case.explanation("configuration", sentence, source=root, layer=no_layer, subject=subject)
    return None


def _constructed(case: DiagnosisCase, event: FitEvent | None, path: str) -> list[SourceLine | None]:
    """Return the lines that constructed the optimizer or the layers to which a setting may belong."""
    if path.startswith("configuration optimizer"):
        return [case.state.owners.get("optimizer", LayerDescription()).source]
    layer = re.match(r"configuration layers (\d+) ", path)
    layers = as_sequence(as_mapping(getattr(event, "configuration", None)).get("layers"))
    if layer is None or int(layer[1]) >= len(layers):
        return []
    described = as_sequence(layers[int(layer[1])])
    return [owner.source for owner in case.state.layers.values() if owner.layer_class in described[:1]]


def initial_values(case: DiagnosisCase) -> Explanation | None:
    """Explain different initial values of weights."""
    tensors = [name for section, name in case.differing_tensors() if section == "weights"]
    created = [d for d in case.context(VariableEvent) if d.event and d.reference and not d.event.is_seed]
    begins = case.record_kind in ("start", "birth", "exit") or case.is_first_step()
    in_step = any(d.interval == case.report.interval for d in created)
    if not tensors or not (begins or in_step):
        return None
    if not created:
        begins_loop = case.is_first_step() and case.position()[0] is None
        is_start = case.record_kind == "start" or begins_loop
        return _set_before_training(case, tensors[0]) if is_start else None
    variables = [d.either for d in created]
    variable = next((v for v in variables if v.layer), variables[0])
    if not variable.layer and variable.optimizer:
        return _optimizer_settings(case, variable)
    tensor = _tensor_named_as(variable, tensors)
    owner = case.owner(tensor)
    line = (owner.source if owner else None) or variable.source
    takes_seed = variable.is_unseeded and case.draws_unseeded(line)
    root = line if takes_seed else case.root_line(line, strict=True)
    seed = None if root is not None and case.is_source(root) else line_of_differing_seed(case)
    root = seed or root
    seeds = seeds_set(case)
    fix = suggest_fix(root.code) if root is not None else None
    sentence = "weights were created from values that differ" if seed is None else SENTENCE
    if seed is None and seeds and seeds.get("keras") is None:
        fix = fix or f"{SET_SEED}  # before the model is built"
        sentence = "no seed was set with Keras for the initializers"
        if seeds.get("tensorflow") is not None:
            sentence = "seeds were set with tf.random.set_seed, which Keras 3's initializers do not use"
    return case.explanation(
        "initial_weights",
        sentence,
        tensor=tensor,
        source=root or line,
        fix=fix,
        evidence=[f"the initial value of {variable.name} differs, created by {variable.layer or 'no layer'}"],
    )


def _tensor_named_as(variable: VariableEvent, tensors: Sequence[str]) -> str:
    """Return the first tensor with the last name of a variable; others differ only as a consequence."""
    leaf = variable.name.rpartition("/")[2].partition(":")[0]
    return next((t for t in tensors if t.rpartition("/")[2] == leaf), tensors[0])


def _optimizer_settings(case: DiagnosisCase, variable: VariableEvent) -> Explanation:
    """Explain an optimizer with other settings, in a training that does not record them."""
    root = case.root_line(variable.source, strict=True)
    setting = variable.name.rpartition("/")[2].split(":")[0]
    return case.explanation(
        "configuration",
        f"{variable.optimizer} was constructed with another value of {setting}",
        source=root or variable.source,
        evidence=[f"the initial value of {variable.name} differs"],
        layer=LayerDescription(),
    )


def _set_before_training(case: DiagnosisCase, tensor: str) -> Explanation:
    """Explain weights with equal initial values that differ when a fit begins."""
    is_later_fit = (case.position()[0] or 0) > 0
    owner = case.owner(tensor)
    adapted = None if owner is None else line_of_adapted_data(case, layer_class=owner.layer_class)
    if owner is not None and adapted is not None:
        return case.explanation(
            "initial_weights",
            f"{owner.layer_class} was adapted to other data",
            tensor=tensor,
            source=adapted,
        )
    return case.explanation(
        "initial_weights",
        "weights were changed between two fits"
        if is_later_fit
        else "the weights had the same initial values, and were set to other values before the training",
        tensor=tensor,
        source=case.root_line(*case.method_calls()),
    )


def seed_generators(case: DiagnosisCase) -> Explanation | None:
    """Explain a seed generator with a different initial state that was drawn from."""
    seeds = [name for section, name in case.differing_tensors() if section == "seeds"]
    started = [n for n in seeds if n.endswith((" before", " at the start"))]
    if not started and any(d.event is not None and d.event.is_seed for d in case.context(VariableEvent)):
        started = seeds
    if not started:
        return None
    name = started[0].removesuffix(" before").removesuffix(" at the start")
    owner = case.owner(name) or LayerDescription()
    source = owner.source
    root = case.root_line(source, strict=True) if source else case.root_line(*case.method_calls())
    seed = None if root is not None and case.is_source(root) else line_of_differing_seed(case)
    root = seed or root
    kind = owner.layer_class or "the global seed generator"
    fix = applicable_fix(case, suggest_fix(root.code), root) if root is not None else None
    if seed is None:
        fix = fix or applicable_fix(case, f"{SET_SEED}  # before the model is built", source)
    if fix is None and seed is None and source is not None:
        fix = suggest_fix(statement_text(source.file, source.line)) or f"{kind}(..., seed=42)"
    return case.explanation(
        "random_state",
        f"the seed generator of {kind} had a different initial state",
        tensor=name,
        source=root or source,
        fix=fix,
        layer=owner,
    )


def _data_differs(event: FitEvent | None, reference: FitEvent | None) -> bool:
    left, right = ((e.data if e else None) or {} for e in (event, reference))
    return bool(left.get("digest")) and left.get("digest") != right.get("digest")
