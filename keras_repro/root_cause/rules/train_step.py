"""The step itself: the same state, the same batch, and another result, as its replay shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_repro.determinism.operation_catalogue import STATEFUL_RANDOM
from keras_repro.root_cause.evidence import DiagnosisCase, as_source, seeds_set
from keras_repro.root_cause.explanation import Explanation
from keras_repro.root_cause.rules.input_data import of_its_own_data
from keras_repro.root_cause.rules.replay_taps import (
    first_across,
    first_tap,
    layer_of,
    operation_for,
    tap_in_words,
)
from keras_repro.source_code.dataflow import SourceModel
from keras_repro.source_code.fixes import suggest_fix
from keras_repro.source_code.nondeterminism import nondeterminism_level

Operations = Sequence[Mapping[str, Any]]


def step(case: DiagnosisCase) -> Explanation | None:
    """The same state and the same batch, and another result."""
    if case.kind != "end":
        return None
    case.ruled_out.append("the state before the step was the same")
    drawn = of_its_own_data(case) if not case.replay.get("agrees", True) else None
    if drawn is not None:
        return drawn
    case.ruled_out.append("the batch was the same")
    replay = case.replay
    if not replay:
        root = case.root(*case.calls(), here=True)
        sentence = "the same step on the same batch gave another result; it could not be replayed"
        return case.said("operation", sentence, source=as_source(root))
    tapped = replay.get("tapped", {})
    if "fewer_taps" in replay:
        case.noticed.append(f"replayed with fewer tensors: {replay['fewer_taps']}")
    if "error" in tapped:
        case.noticed.append(f"its inside could not be looked at: {tapped['error']}")
    elif not tapped.get("faithful", True) and replay["agrees"]:
        case.noticed.append("with its inside taken out it is not faithful to what was recorded")
    if not replay["agrees"]:
        # What draws from a counter never repeats in one process, but it does from process to process.
        counted = None
        if _only_counters(case, tapped):
            counted = _kept(case, tapped) if tapped.get("taps") else _not_found(case, tapped)
        return counted or _seeded_otherwise(case, tapped) or _unsteady(case, tapped, "")
    if not replay["agrees_drawing_on"]:
        return _unsteady(case, tapped, ": it draws from the process's own random generators")
    if not replay["faithful"]:
        return _unfaithful(case, tapped)
    case.ruled_out.append("replayed in one process, the step repeats itself")
    if case.evidence.varied and not case.near():
        return _rounded(case, tapped)
    return _traced(case, tapped) or _kept(case, tapped) or _not_found(case, tapped)


def of_threads(case: DiagnosisCase) -> Explanation | None:
    """Several threads train the same weights: who comes first is another one each time."""
    threads = case.evidence.parting.get("stepping_threads", 0)
    if not threads:
        return None
    near = case.near()
    return case.said(
        "environment",
        f"{threads} threads train the same weights, in the order in which they come by",
        source=case.running_thread() or as_source(near[0] if near else case.elsewhere()),
        fix="take the gradients of all threads in a fixed order, and apply them in one thread",
    )


def _only_counters(case: DiagnosisCase, tapped: Mapping[str, Any]) -> bool:
    """Whether all that does not repeat in the step draws by one seed of TensorFlow's that both runs set."""
    operations = tapped.get("operations", ())
    kinds = {o["type"] for o in operations}
    if not all(o.get("seeded", True) for o in operations):
        return False
    return bool(kinds) and kinds <= STATEFUL_RANDOM and len(set(_tensorflow_seeds(case)) - {None}) == 1


def _seeded_otherwise(case: DiagnosisCase, tapped: Mapping[str, Any]) -> Explanation | None:
    """TensorFlow was given other seeds in the two runs, and an operation in the step draws by them."""
    seeds = _tensorflow_seeds(case)
    chosen = next((o for o in tapped.get("operations", ()) if o["type"] in STATEFUL_RANDOM), None)
    if chosen is None or None in seeds or len(set(seeds)) < 2:
        return None
    patterns = (r"\brandom\.set_seed\(", r"\b(set_seed|set_random_seed)\(")
    source = next((s for p in patterns if (s := SourceModel(set(case.files)).only_statement(p))), None)
    return case.said(
        "operation",
        f"{chosen['type']} draws by TensorFlow's seed, {seeds[0]} in one run and {seeds[1]} in the other",
        source=source or chosen.get("source"),
        layer=layer_of(case, None, chosen),
        operation=chosen["type"],
        evidence=[f"in its graph: {chosen['type']}"],
    )


def _tensorflow_seeds(case: DiagnosisCase) -> tuple[Any, Any]:
    first, second = seeds_set(case) or {}, seeds_set(case, second=True) or {}
    return first.get("tensorflow"), second.get("tensorflow")


def _unsteady(case: DiagnosisCase, tapped: Mapping[str, Any], why: str) -> Explanation:
    """Repetitions of the step differ among themselves: it is an operation in it."""
    tap = first_tap(tapped, lambda d: d[0] != d[1])
    chosen = operation_for(tap, tapped.get("operations", ()))
    layer = layer_of(case, tap, chosen)
    host = chosen is not None and "PyFunc" in chosen["type"]
    source = (chosen or {}).get("source")
    if host or source is None:
        near = case.root(here=True) if case.near() else case.elsewhere() if host else None
        source = as_source(near) or source or layer.get("source")
    evidence = ["replayed from the same state with the same batch, its results differ from time to time"]
    if tapped.get("taps"):
        evidence.append(tap_in_words(tap, case.first_tensor()))
    if chosen is not None:
        evidence.append(f"in its graph: {chosen['type']}")
    if host:
        sentence = "Python code that the graph calls gives other values"
    elif chosen is not None and chosen["type"] == "Timestamp":
        sentence = "the step reads the clock"
    elif chosen is not None:
        sentence = f"{chosen['type']} draws from a counter of its own that no seed holds"
    else:
        sentence = "an operation does not repeat itself"
    unseeded = chosen is not None and not chosen.get("seeded", True)
    return case.said(
        "operation",
        sentence + why,
        source=source,
        layer=layer,
        operation=None if chosen is None else chosen["type"],
        evidence=evidence,
        fix=_seed_of_its_own(source) if unseeded else None,
    )


def _seed_of_its_own(source: Mapping[str, Any] | None) -> str:
    known = None if source is None else suggest_fix(str(source["code"]))
    return known or "give the operation a seed of its own, such as seed=42"


def _unfaithful(case: DiagnosisCase, tapped: Mapping[str, Any]) -> Explanation:
    """Repetitions agree with each other and not with what was recorded."""
    chosen = operation_for(None, tapped.get("operations", ()))
    root = case.root(*case.calls(), here=True)
    return case.said(
        "operation" if chosen is not None or case.near() else "unknown",
        "the step depends on something outside of the state and the batch, which has changed since",
        source=as_source(root) or (chosen or {}).get("source"),
        operation=None if chosen is None else chosen["type"],
        layer=layer_of(case, None, chosen),
        evidence=["the replay is not faithful: it repeats itself, and not what was recorded"],
    )


def _traced(case: DiagnosisCase, tapped: Mapping[str, Any]) -> Explanation | None:
    """Traced anew it is another step: its graph holds a value that Python drew while it was traced."""
    tap = first_tap(tapped, lambda d: d[0] != d[2])
    if tap is None:
        return None
    layer = layer_of(case, tap)
    root = case.root(tap.get("source"), here=True)
    return case.said(
        "operation",
        "a value is drawn in Python while the step is traced, and stays in its graph as a constant",
        source=as_source(root) or layer.get("source"),
        layer=layer,
        evidence=["traced anew in the same process it computes something else", tap_in_words(tap, None)],
    )


def _rounded(case: DiagnosisCase, tapped: Mapping[str, Any]) -> Explanation:
    """Other surroundings, and no line of the user's that differs: the operations round otherwise."""
    across = first_across(case)
    if across is None:
        return case.said(
            "environment",
            "the same step on the same batch gives other bits; with its inside taken out, it does not",
        )
    tap, far = across
    layer = layer_of(case, tap) or (case.owner(tap["name"]) if tap["kind"] == "gradient" else {})
    return case.said(
        "environment",
        "the same step on the same batch gives other bits",
        source=layer.get("source"),
        layer=layer,
        evidence=[tap_in_words(tap, case.first_tensor()), f"between the two surroundings {far}"],
    )


def _kept(case: DiagnosisCase, tapped: Mapping[str, Any]) -> Explanation | None:
    """The step is the same in one process at all times, and another one in another process."""
    found = first_across(case)
    if found is None:
        return None
    tap, far = found
    chosen = operation_for(tap, tapped.get("operations", ()))
    layer = layer_of(case, tap, chosen)
    evidence = [tap_in_words(tap, None), f"between two processes {far}"]
    if _drawn_in(case):
        return case.said(
            "operation",
            "the step computes with a value that Python gave while it ran or was traced",
            source=as_source(case.root(here=True)),
            layer=layer,
            evidence=evidence,
        )
    root = case.root(layer.get("source"), *case.calls())
    if chosen is not None and root is None:
        return case.said(
            "operation",
            f"{chosen['type']} gives other values in each process",
            source=chosen.get("source"),
            layer=layer,
            operation=chosen["type"],
            evidence=evidence,
        )
    return case.said(
        "configuration",
        "the step computes with a value that is another one in each process and is no part of the state",
        source=as_source(root) or layer.get("source"),
        layer=layer,
        evidence=evidence,
    )


def _drawn_in(case: DiagnosisCase) -> bool:
    """Whether a line of Python that ran in the step, or traced it, draws or asks the clock."""
    return any({"random", "np.random"} & set(s.names) or nondeterminism_level(s.code) for s in case.near())


def _not_found(case: DiagnosisCase, tapped: Mapping[str, Any]) -> Explanation:
    """Nothing inside of the step was seen to differ."""
    root = case.root(*case.calls(), here=True)
    chosen = operation_for(None, tapped.get("operations", ()))
    thread = case.running_thread()
    if root is None and chosen is None and thread is not None:
        return case.said(
            "environment",
            "the same step on the same batch gave another result, while a thread of the script was running",
            source=thread,
        )
    if root is None and chosen is None:
        return case.said(
            "unknown",
            "the same step on the same batch gave another result; replayed, it gives the recorded one",
        )
    settings = root is not None and not _drawn_in(case)
    return case.said(
        "configuration" if settings else "operation",
        "the step computes with a value that is another one in each process and is no part of the state"
        if settings
        else "the same step on the same batch gives another result in another process",
        source=as_source(root) or (chosen or {}).get("source"),
        operation=None if chosen is None else chosen["type"],
        layer=layer_of(case, None, chosen),
    )
