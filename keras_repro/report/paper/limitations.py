"""What a recorded run cannot promise, as it follows from its own ledger.

>>> known_limitations({"mode": "observed"}, status="killed", fits=[])[0]
'The run was killed: its fingerprint covers only what came before.'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_repro.comparison.notes import caps_in_words
from keras_repro.ledger.schema import COVERAGE, Record
from keras_repro.report import environment_text

_FACTS = ("python", "packages", "cpu", "memory_bytes", "gpu", "os", "git")


def known_limitations(
    header: Mapping[str, Any],
    *,
    status: str,
    fits: Sequence[Record],
    random_operations: Sequence[str] = (),
    not_portable: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> list[str]:
    """Lists the limitations of one run, the gravest first.

    Args:
        header: the ledger's header.
        status: `"finished"`, `"stopped"` or `"killed"`.
        fits: its `fit` records.
        random_operations: stateful random operations that were found in the training graph.
        not_portable: operations in it that are not known to be portable.
        notes: what was noticed while the ledger was read.
    """
    environment = environment_text.part(header, "environment")
    readings = [s for s in header.get("switches") or () if isinstance(s, Mapping)]
    switches = {str(s.get("name")): s for s in readings}
    return [
        *_of_the_run(header, status, notes),
        *_of_seeds(header, fits, random_operations),
        *_of_switches(switches),
        *(f"Not known to be portable: {one}." for one in not_portable[:20]),
        *_of_hardware(environment, switches, portable=_is_portable(header) and not not_portable),
        *_of_the_record(header, environment),
    ]


def _of_the_run(header: Mapping[str, Any], status: str, notes: Sequence[str]) -> list[str]:
    found = []
    if status != "finished":
        found.append(f"The run was {status}: its fingerprint covers only what came before.")
    if part := caps_in_words({"policies": environment_text.part(header, "policies")}):
        found.append(f"The training was cut short: only {part} ran.")
    return [*found, *notes]


def _of_seeds(
    header: Mapping[str, Any], fits: Sequence[Record], random_operations: Sequence[str]
) -> list[str]:
    found = []
    if header.get("seed") is None:
        for record in fits:
            seeds = environment_text.part(record.extra, "seeds_set")
            where = f" before fit {(record.fit or 0) + 1}" if len(fits) > 1 else ""
            if "keras" not in seeds:
                continue  # not recorded
            if seeds.get("keras") is None and seeds.get("tensorflow") is None:
                found.append(f"No seed was set{where}: the training will not repeat.")
            elif seeds.get("keras") is None:
                found.append(
                    f"Seeds were set with tf.random.set_seed{where}, from which Keras's "
                    "initializers do not draw."
                )
    if any(record.extra.get("frozen_shuffle") for record in fits):
        found.append(
            "The samples came in the same shuffled order in every epoch: so Keras shuffles arrays "
            "once a seed is set."
        )
    if random_operations:
        names = ", ".join(random_operations)
        found.append(
            f"Random operations with a hidden counter are in the graph ({names}): their state is "
            "not in the record."
        )
    for record in fits:
        words = record.extra.get("notes")
        found += [f"{note}." for note in words if note] if isinstance(words, list) else []
    return list(dict.fromkeys(found))


def _of_switches(switches: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = []
    for name, reading in switches.items():
        if reading.get("ok") is False:
            wanted, got = (environment_text.switch_value(reading.get(k)) for k in ("requested", "achieved"))
            found.append(f"Switch {name} was requested as {wanted}; in effect was {got}.")
        elif reading.get("ok") is None and reading.get("achieved") is None:
            found.append(f"Switch {name} could not be read back.")
    if _achieved(switches, "hash_seed") == "random":
        found.append("Python's hash seed was random: what depends on the order of a set may vary.")
    if _achieved(switches, "op_determinism") is False:
        found.append("Deterministic operations were off: runs on a GPU may vary.")
    counts = [_achieved(switches, f"{kind}_op_threads") for kind in ("intra", "inter")]
    loose = [switches.get(f"{k}_op_threads", {}).get("ok") is not True for k in ("intra", "inter")]
    if any(loose) and None not in counts:
        found.append(
            f"Thread counts were not pinned ({counts[0]} within an operation, {counts[1]} between "
            "operations were in effect): with another number of CPUs, sums are split in another way."
        )
    if _achieved(switches, "xla_auto_jit") is True:
        found.append("XLA compiled graphs unasked: results without it differ in the last digits.")
    if _achieved(switches, "tf32") is True:
        found.append("TensorFloat-32 was on: GPUs without it compute other digits.")
    if _achieved(switches, "cudnn_autotune") is True:
        found.append("cuDNN chose its algorithms by timing them: another run may choose others.")
    return found


def _is_portable(header: Mapping[str, Any]) -> bool:
    return header.get("determinism") == "portable"


def _of_hardware(
    environment: Mapping[str, Any], switches: Mapping[str, Mapping[str, Any]], *, portable: bool
) -> list[str]:
    found = []
    model = environment_text.part(environment, "cpu").get("model")
    than = f" than {model}" if model else ""
    own = _achieved(switches, "onednn_isa") == "the CPU's" and _achieved(switches, "onednn") is True
    why = "; oneDNN chose its kernels by this CPU's instructions" if own else ""
    if portable:
        found.append("Results differ in the last digits on CPUs other than x86-64 with AVX2.")
    else:
        found.append(f"Results may differ in the last digits on another CPU model{than}{why}.")
    gpus = environment_text.gpus(environment)
    if _achieved(switches, "tf32") == "no GPU":
        gpus = []  # whatever is in the machine, this TensorFlow used none
    if gpus:
        names = ", ".join(dict.fromkeys(str(gpu.get("model")) for gpu in gpus))
        found.append(f"Results may differ slightly on other GPU models than {names}.")
    if gpus is not None:
        here, there = ("a GPU", "a CPU") if gpus else ("a CPU", "a GPU")
        found.append(f"This run used {here}; results on {there} differ.")
    return found


def _of_the_record(header: Mapping[str, Any], environment: Mapping[str, Any]) -> list[str]:
    found = []
    git = environment_text.part(environment, "git")
    if git.get("dirty"):
        found.append("The source had uncommitted changes: the commit alone does not give it back.")
    hidden = environment_text.part(header, "command").get("hidden")
    if hidden:
        found.append(f"{hidden} of the script's arguments are not published.")
    left_out = [COVERAGE[c] for c in COVERAGE if c not in str(header.get("coverage"))]
    if left_out:
        found.append(f"The fingerprint does not cover: {'; '.join(left_out)}.")
    missing = [name for name in _FACTS if environment.get(name) is None]
    if missing:
        found.append(f"Not recorded: {', '.join(missing)}.")
    return found


def _achieved(switches: Mapping[str, Mapping[str, Any]], name: str) -> Any:
    return switches.get(name, {}).get("achieved")
