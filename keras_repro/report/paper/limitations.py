"""List the limitations of a recorded run, derived from its ledger.

>>> known_limitations({"mode": "observed"}, status="killed", fits=[])[0]
'The run was killed: its fingerprint covers only the records up to then.'
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keras_repro.comparison.notes import caps_text
from keras_repro.ledger.schema import COVERAGE, Record
from keras_repro.report import environment_text
from keras_repro.utils.untrusted_json import as_mapping, as_mappings

_MOST_OPERATIONS = 20
_FACTS = ("python", "packages", "cpu", "memory_bytes", "gpu", "os", "git")
_EFFECTS_OF_VALUES = (
    ("hash_seed", "random", "Python's hash seed was random: the iteration order of sets may vary."),
    ("op_determinism", False, "Deterministic operations were off: runs on a GPU may vary."),
    (
        "xla_auto_jit",
        True,
        "XLA compiled graphs automatically: results without XLA differ in the last digits.",
    ),
    ("tf32", True, "TensorFloat-32 was on: results on GPUs without it differ."),
    (
        "cudnn_autotune",
        True,
        "cuDNN chose its algorithms by timing them: another run may choose others.",
    ),
)


def known_limitations(
    header: Mapping[str, Any],
    *,
    status: str,
    fits: Sequence[Record],
    random_operations: Sequence[str] = (),
    not_portable: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> list[str]:
    """List the limitations of one run, the most serious first.

    Args:
        header: the ledger's header.
        status: `"finished"`, `"stopped"` or `"killed"`.
        fits: its `fit` records.
        random_operations: stateful random operations in the training graph.
        not_portable: operations in the graph that are not known to be portable.
        notes: notes of the ledger reader.
    """
    environment = as_mapping(header.get("environment"))
    switches = {str(s.get("name")): s for s in as_mappings(header.get("switches"))}
    return [
        *_of_the_run(header, status, notes),
        *_of_seeds(header, fits, random_operations),
        *_of_switches(switches),
        *(f"Not known to be portable: {operation}." for operation in not_portable[:_MOST_OPERATIONS]),
        *_of_hardware(environment, switches, portable=_is_portable(header) and not not_portable),
        *_of_the_record(header, environment),
    ]


def _of_the_run(header: Mapping[str, Any], status: str, notes: Sequence[str]) -> Iterator[str]:
    if status != "finished":
        yield f"The run was {status}: its fingerprint covers only the records up to then."
    if part := caps_text({"policies": as_mapping(header.get("policies"))}):
        yield f"The training was cut short: only {part} ran."
    yield from notes


def _of_seeds(
    header: Mapping[str, Any], fits: Sequence[Record], random_operations: Sequence[str]
) -> list[str]:
    texts = []
    if header.get("seed") is None:
        for record in fits:
            seeds = as_mapping(record.extra.get("seeds_set"))
            where = f" before fit {(record.fit or 0) + 1}" if len(fits) > 1 else ""
            if "keras" not in seeds:
                continue  # not recorded
            if seeds.get("keras") is None and seeds.get("tensorflow") is None:
                texts.append(f"No seed was set{where}: the training is not reproducible.")
            elif seeds.get("keras") is None:
                texts.append(
                    f"Seeds were set with tf.random.set_seed only{where}: Keras's initializers do not use it."
                )
    if any(record.extra.get("frozen_shuffle") for record in fits):
        texts.append(
            "The samples had the same shuffled order in every epoch: Keras shuffles arrays this way "
            "once a seed is set."
        )
    if random_operations:
        names = ", ".join(random_operations)
        texts.append(
            f"The graph contains random operations with a hidden counter ({names}): their state is "
            "not recorded."
        )
    for record in fits:
        words = record.extra.get("notes")
        texts += [f"{note}." for note in words if note] if isinstance(words, list) else []
    return list(dict.fromkeys(texts))


def _of_switches(switches: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, reading in switches.items():
        if reading.get("ok") is False:
            requested, effective = (
                environment_text.switch_value(reading.get(k)) for k in ("requested", "achieved")
            )
            yield f"Switch {name}: requested {requested}, effective {effective}."
        elif reading.get("ok") is None and reading.get("achieved") is None:
            yield f"Switch {name} could not be read back."
    for name, value, text in _EFFECTS_OF_VALUES:
        if _achieved(switches, name) == value:
            yield text
    counts = [_achieved(switches, f"{kind}_op_threads") for kind in ("intra", "inter")]
    pinned = [switches.get(f"{k}_op_threads", {}).get("ok") is True for k in ("intra", "inter")]
    if not all(pinned) and None not in counts:
        yield (
            f"Thread counts were not pinned (effective: {counts[0]} within an operation, {counts[1]} "
            "between operations): with another number of CPUs, sums are split differently."
        )


def _is_portable(header: Mapping[str, Any]) -> bool:
    return header.get("determinism") == "portable"


def _of_hardware(
    environment: Mapping[str, Any], switches: Mapping[str, Mapping[str, Any]], *, portable: bool
) -> Iterator[str]:
    model = as_mapping(environment.get("cpu")).get("model")
    than = f" than {model}" if model else ""
    own = _achieved(switches, "onednn_isa") == "the CPU's" and _achieved(switches, "onednn") is True
    why = "; oneDNN chose its kernels for this CPU's instruction set" if own else ""
    if portable:
        yield "Results differ in the last digits on CPUs other than x86-64 with AVX2."
    else:
        yield f"Results may differ in the last digits on another CPU model{than}{why}."
    gpus = environment_text.gpus(environment)
    if _achieved(switches, "tf32") == "no GPU":
        gpus = []  # This TensorFlow used none, even if the machine has one.
    if gpus:
        names = ", ".join(dict.fromkeys(str(gpu.get("model")) for gpu in gpus))
        yield f"Results may differ slightly on other GPU models than {names}."
    if gpus is not None:
        used, other = ("a GPU", "a CPU") if gpus else ("a CPU", "a GPU")
        yield f"This run used {used}; results on {other} differ."


def _of_the_record(header: Mapping[str, Any], environment: Mapping[str, Any]) -> Iterator[str]:
    git = as_mapping(environment.get("git"))
    if git.get("dirty"):
        yield "The source had uncommitted changes: the commit alone does not restore it."
    hidden = as_mapping(header.get("command")).get("hidden")
    if hidden:
        yield f"{hidden} of the script's arguments are not published."
    left_out = [COVERAGE[c] for c in COVERAGE if c not in str(header.get("coverage"))]
    if left_out:
        yield f"The fingerprint does not cover: {'; '.join(left_out)}."
    missing = [name for name in _FACTS if environment.get(name) is None]
    if missing:
        yield f"Not recorded: {', '.join(missing)}."


def _achieved(switches: Mapping[str, Mapping[str, Any]], name: str) -> Any:
    return switches.get(name, {}).get("achieved")
