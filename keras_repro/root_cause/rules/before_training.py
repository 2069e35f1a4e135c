"""What differs before the first step: configuration, first values of weights, seed generators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_repro.comparison.config_diff import first_config_difference
from keras_repro.root_cause.evidence import NOT_IN_A_THREAD, SET_SEED, DiagnosisCase, as_source, seeds_set
from keras_repro.root_cause.explanation import Explanation
from keras_repro.source_code.fixes import suggest_fix
from keras_repro.source_code.statements import statement_text

_SHOWN = ("seed", "seed_generator", "random_seed", "steps", "steps_requested")


def configuration(case: DiagnosisCase) -> Explanation | None:
    """Other layers, other settings of the optimizer or of fit, another structure."""
    for difference in case.soft("fit"):
        mine, other = ((difference.get(n) or {}).get("value") or {} for n in ("mine", "other"))
        for part in ("configuration", "arguments"):
            left, right = _settings(mine.get(part)), _settings(other.get(part))
            if left == right or (part == "arguments" and _data_differs(mine, other)):
                continue
            found = first_config_difference(left, right, part)
            root, thread = case.root(*case.calls()), case.running_thread()
            sentence = f"{found.path} is {found.values[0]} in one run and {found.values[1]} in the other"
            if root is None and thread is not None:
                sentence += ", while a thread of the script was running"
                return case.said("configuration", sentence, source=thread, fix=NOT_IN_A_THREAD, layer={})
            return case.said("configuration", sentence, source=as_source(root), layer={})
    return None


def first_values(case: DiagnosisCase) -> Explanation | None:
    """First values of weights that differ, with the event in which they show being about weights."""
    tensors = [n for s, n in case.tensors() if s == "weights"]
    births = [d for d in case.soft("birth") if d.get("mine") and d.get("other")]
    births = [d for d in births if not d["mine"]["info"].get("seed")]
    in_step = any(d["interval"] == case.number for d in births)
    begins = case.record in ("start", "birth", "exit") or (case.kind == "begin" and case.place()[2] == 0)
    if not tensors or not (begins or in_step):
        return None
    if not births:
        return _set_before_training(case, tensors[0]) if case.record == "start" else None
    of_layers = [d for d in births if d["mine"]["info"].get("layer")]
    if not of_layers and births[0]["mine"]["info"].get("optimizer"):
        return _optimizer_made(case, births[0])
    info = (of_layers or births)[0]["mine"]["info"]
    name = (of_layers or births)[0]["key"]
    tensor = _tensor_of(name, tensors)
    line = case.owner(tensor).get("source") or info.get("source")
    root = case.root(line, strict=True)
    known = seeds_set(case)
    fix = suggest_fix(root.code) if root is not None else None
    if known is not None and known.get("keras") is None:
        fix = fix or f"{SET_SEED}  # before the model is built"
        sentence = "no seed was set with Keras, so initializers draw from what the process started with"
        if known.get("tensorflow") is not None:
            sentence = "seeds were set with tf.random.set_seed, from which Keras 3's initializers do not draw"
    else:
        sentence = "weights were made from values that differ"
    return case.said(
        "initial_weights",
        sentence,
        tensor=tensor,
        source=as_source(root) or line,
        fix=fix,
        evidence=[f"the first value of {name} differs, made by {info.get('layer') or 'no layer'}"],
    )


def _tensor_of(birth: str, tensors: Sequence[str]) -> str:
    """The first tensor that ends as a born variable's name does: after a step, others differ as well."""
    leaf = birth.rpartition("/")[2].partition(":")[0]
    return next((t for t in tensors if t.rpartition("/")[2] == leaf), tensors[0])


def _optimizer_made(case: DiagnosisCase, birth: Mapping[str, Any]) -> Explanation:
    """An optimizer that was made with another setting, in a training that says nothing of its settings."""
    info = birth["mine"]["info"]
    root = case.root(info.get("source"), strict=True)
    return case.said(
        "configuration",
        f"{info['optimizer']} was made with another value of {birth['key'].rpartition('/')[2].split(':')[0]}",
        source=as_source(root) or info.get("source"),
        evidence=[f"the first value of {birth['key']} differs"],
        layer={},
    )


def _set_before_training(case: DiagnosisCase, tensor: str) -> Explanation:
    """Weights that were made equal and differ when a fit begins."""
    later = (case.place()[0] or 0) > 0
    return case.said(
        "initial_weights",
        "weights were changed between two fits"
        if later
        else "the weights were made with the same values, and set to others before the training",
        tensor=tensor,
        source=as_source(case.root(*case.calls())),
    )


def seed_generators(case: DiagnosisCase) -> Explanation | None:
    """A seed generator that was drawn from and began otherwise."""
    seeds = [n for s, n in case.tensors() if s == "seeds"]
    began = [n for n in seeds if n.endswith((" before", " at the start"))]
    if not began and any((d.get("mine") or {}).get("info", {}).get("seed") for d in case.soft("birth")):
        began = seeds
    if not began:
        return None
    name = began[0].removesuffix(" before").removesuffix(" at the start")
    owner = case.owner(name)
    source = owner.get("source")
    root = case.root(source, strict=True) if source is not None else case.root(*case.calls())
    kind = owner.get("class") or "the global seed generator"
    known = seeds_set(case)
    sentence = f"the seed generator of {kind} started from another state"
    fix = suggest_fix(root.code) if root is not None else None
    if fix is None:
        fix = f"{SET_SEED}  # before the model is built" if not known or known.get("keras") is None else None
    if fix is None and source is not None:
        fix = suggest_fix(statement_text(source["file"], source["line"])) or f"{kind}(..., seed=42)"
    return case.said(
        "random_state",
        sentence,
        tensor=name,
        source=as_source(root) or source,
        fix=fix,
        layer=owner,
    )


def _data_differs(mine: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    left, right = (v.get("data") or {} for v in (mine, other))
    return bool(left.get("digest")) and left.get("digest") != right.get("digest")


def _settings(value: Any) -> Any:
    """Settings without what shows elsewhere: seeds in draws, initializers in weights, steps in data."""
    if isinstance(value, Mapping):
        return {k: _settings(v) for k, v in value.items() if k not in _SHOWN and "initializer" not in k}
    return [_settings(v) for v in value] if isinstance(value, list) else value
