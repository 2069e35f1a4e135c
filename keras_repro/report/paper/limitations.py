"""List the limitations of a recorded run, derived from its ledger.

>>> from keras_repro.ledger.reader import open_ledger
>>> from keras_repro.report.paper.run_summary import summarize
>>> known_limitations(summarize(open_ledger("check/run-1")))[-1]
'The fingerprint does not cover: order of the training data.'
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from keras_repro.comparison.notes import caps_text
from keras_repro.ledger.schema import COVERAGE
from keras_repro.report import environment_text
from keras_repro.report.paper.run_summary import RunSummary
from keras_repro.storage.run_folder import OUTPUT_NAME
from keras_repro.utils.untrusted_json import as_mapping, as_sequence

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


def known_limitations(run: RunSummary) -> list[str]:
    """List the limitations of a run, the most serious first."""
    return list(
        dict.fromkeys(
            [
                *_of_the_run(run),
                *_of_seeds(run),
                *_of_switches(run),
                *(f"Not known to be portable: {o}." for o in run.not_portable[:_MOST_OPERATIONS]),
                *_of_hardware(run),
                *_of_the_record(run),
            ]
        )
    )


def _of_the_run(run: RunSummary) -> Iterator[str]:
    ledger = run.ledger
    if ledger.status != "finished":
        yield f"The run was {ledger.status}: its fingerprint covers only the records up to then."
    if part := caps_text(ledger.header):
        yield f"The training was cut short: only {part} ran."
    # Pages are published: never name folders of this machine.
    yield from (note.replace(str(ledger.path), "the ledger") for note in ledger.notes)


def _of_seeds(run: RunSummary) -> Iterator[str]:
    for record in run.fits:
        seeds = as_mapping(record.extra.get("seeds_set"))
        where = f" before fit {(record.fit or 0) + 1}" if len(run.fits) > 1 else ""
        if run.ledger.header["seed"] is not None or seeds.get("keras", "not recorded") is not None:
            continue
        if seeds.get("tensorflow") is None:
            yield f"No seed was set{where}: the training is not reproducible."
        else:
            yield f"Seeds were set with tf.random.set_seed only{where}: Keras's initializers do not use it."
    if any(record.extra.get("frozen_shuffle") for record in run.fits):
        yield (
            "The samples had the same shuffled order in every epoch: Keras shuffles arrays this way "
            "once a seed is set."
        )
    if run.random_operations:
        names = ", ".join(sorted(run.random_operations))
        yield (
            f"The graph contains random operations with a hidden counter ({names}): their state is "
            "not recorded."
        )
    for record in run.fits:
        yield from (f"{note}." for note in as_sequence(record.extra.get("notes")) if note)


def _of_switches(run: RunSummary) -> Iterator[str]:
    for name, reading in run.switches.items():
        if reading.get("ok") is False:
            requested, effective = (
                environment_text.switch_value(reading.get(k)) for k in ("requested", "achieved")
            )
            yield f"Switch {name}: requested {requested}, effective {effective}."
        elif reading.get("ok") is None and reading.get("achieved") is None:
            yield f"Switch {name} could not be read back."
    for name, value, text in _EFFECTS_OF_VALUES:
        if _effective(run, name) == value:
            yield text
    threads = [run.switches.get(f"{kind}_op_threads", {}) for kind in ("intra", "inter")]
    within, between = (reading.get("achieved") for reading in threads)
    if None not in (within, between) and any(reading.get("ok") is not True for reading in threads):
        yield (
            f"Thread counts were not pinned (effective: {within} within an operation, {between} "
            "between operations): with another number of CPUs, sums are split differently."
        )


def _of_hardware(run: RunSummary) -> Iterator[str]:
    model = as_mapping(run.environment.get("cpu")).get("model")
    than = f" than {model}" if model else ""
    own = _effective(run, "onednn_isa") == "the CPU's" and _effective(run, "onednn") is True
    why = "; oneDNN chose its kernels for this CPU's instruction set" if own else ""
    if run.ledger.header["determinism"] == "portable" and not run.not_portable:
        yield "Results differ in the last digits on CPUs other than x86-64 with AVX2."
    else:
        yield f"Results may differ in the last digits on another CPU model{than}{why}."
    gpus = environment_text.gpus(run.environment)
    if _effective(run, "tf32") == "no GPU":
        gpus = []  # This TensorFlow used none, even if the machine has one.
    if gpus:
        names = ", ".join(dict.fromkeys(str(gpu.get("model")) for gpu in gpus))
        yield f"Results may differ slightly on other GPU models than {names}."
    if gpus is not None:
        used, other = ("a GPU", "a CPU") if gpus else ("a CPU", "a GPU")
        yield f"This run used {used}; results on {other} differ."


def _of_the_record(run: RunSummary) -> Iterator[str]:
    if as_mapping(run.environment.get("git")).get("dirty"):
        yield "The source had uncommitted changes: the commit alone does not restore it."
    if hidden := run.ledger.header["command"].get("hidden"):
        yield f"{hidden} of the script's arguments are not published."
    if left_out := [what for c, what in COVERAGE.items() if c not in run.ledger.header["coverage"]]:
        yield f"The fingerprint does not cover: {'; '.join(left_out)}."
    if missing := [name for name in _FACTS if run.environment.get(name) is None]:
        yield f"Not recorded: {', '.join(missing)}."
    if os.path.lexists(run.ledger.path.with_name(OUTPUT_NAME)):
        yield (
            f"{OUTPUT_NAME} next to the ledger holds what the script printed, which is not redacted: check "
            "it for secrets before the folder is published."
        )


def _effective(run: RunSummary, name: str) -> Any:
    return run.switches.get(name, {}).get("achieved")
