"""The catalogue of variations: changed conditions that should not matter to a training.

>>> [v.name for v in chosen("threads,locale")]
['intra-threads', 'inter-threads', 'locale']

Each knows what to change against a baseline that has run, and how to read back whether it took effect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_repro.errors import ReproError
from keras_repro.workflows.vary import changes
from keras_repro.workflows.vary.changes import Baseline, Change, RunFacts

ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Variation:
    """One changed condition.

    Attributes:
        name: its name on the command line, and of its run folder.
        changes: what it changes, in a line.
        why: why it should not matter.
        pin: how to make a script independent of it.
        change: returns the change against a baseline; raises `NotTriedError` if it is not possible.
        achieved: reads from a run's ledger what was in effect; None if no ledger records it.
        alone: whether no other process of ours may run at the same time.
    """

    name: str
    changes: str
    why: str
    pin: str
    change: Callable[[Baseline], Change]
    achieved: Callable[[RunFacts], Any] | None = None
    alone: bool = False


def chosen(text: str) -> tuple[Variation, ...]:
    """Return the variations of a comma-separated list, in the catalogue's order.

    Args:
        text: names; `threads` for intra-threads and inter-threads; `all`.

    Raises:
        ReproError: a name is not known.
    """
    names = [n.strip().lower().replace("_", "-") for n in text.split(",") if n.strip()]
    known: dict[str, tuple[str, ...]] = {v.name: (v.name,) for v in CATALOGUE}
    known |= {"threads": ("intra-threads", "inter-threads"), ALL: tuple(known)}
    for name in names:
        if name not in known:
            raise ReproError(f"there is no variation {name!r}; choose among: {', '.join(known)}")
    if not names:
        raise ReproError(f"--vary needs a list of variations; choose among: {', '.join(known)}")
    wanted = {variation for name in names for variation in known[name]}
    return tuple(v for v in CATALOGUE if v.name in wanted)


def _switch(name: str) -> Callable[[RunFacts], Any]:
    return lambda facts: facts.switch(name)


CATALOGUE: tuple[Variation, ...] = (
    Variation(
        name="hash-seed",
        changes="PYTHONHASHSEED: Python's hashes of text, and with them the order of sets",
        why="neither the order of a set nor a hash() should influence the training",
        pin="iterate over sets in sorted(...) order, or start Python with PYTHONHASHSEED=0",
        change=changes.hash_seed,
        achieved=_switch("hash_seed"),
    ),
    Variation(
        name="intra-threads",
        changes="TF_NUM_INTRAOP_THREADS: threads within an operation",
        why="sums shared by threads are only rounded in another order",
        pin="start with: TF_NUM_INTRAOP_THREADS=1 python ..., or: keras-repro run SCRIPT",
        change=changes.intra_threads,
        achieved=_switch("intra_op_threads"),
        alone=True,
    ),
    Variation(
        name="inter-threads",
        changes="TF_NUM_INTEROP_THREADS: operations that run in parallel",
        why="operations that do not depend on each other may run in any order",
        pin="start with: TF_NUM_INTEROP_THREADS=1 python ..., or: keras-repro run SCRIPT",
        change=changes.inter_threads,
        achieved=_switch("inter_op_threads"),
        alone=True,
    ),
    Variation(
        name="cpu-count",
        changes="the CPUs that the process may use: half of them; "
        "TensorFlow derives its thread counts from them",
        why="a machine with fewer CPUs should only be slower",
        pin="pin the thread counts: keras-repro run SCRIPT",
        change=changes.cpu_count,
        achieved=lambda facts: facts.recorded("cpu", "available"),
        alone=True,
    ),
    Variation(
        name="onednn",
        changes="TF_ENABLE_ONEDNN_OPTS: oneDNN's kernels or Eigen's",
        why="both compute the same up to rounding",
        pin="start with: TF_ENABLE_ONEDNN_OPTS=1 python ..., or: keras-repro run SCRIPT",
        change=changes.onednn,
        achieved=_switch("onednn"),
    ),
    Variation(
        name="instruction-set",
        changes="ONEDNN_MAX_CPU_ISA: the next older instructions for oneDNN",
        why="an older CPU computes the same up to rounding",
        pin="to compare runs of two CPUs, start with: ONEDNN_MAX_CPU_ISA=AVX2 python ...",
        change=changes.instruction_set,
        achieved=_switch("onednn_isa"),
    ),
    Variation(
        name="xla",
        changes="XLA: on if it is off (TF_XLA_FLAGS), off if Keras chose it",
        why="compiled operations compute the same up to rounding",
        pin="model.compile(..., jit_compile=False)",
        change=changes.xla,
        achieved=lambda facts: (facts.jit, facts.switch("xla_auto_jit")),
    ),
    Variation(
        name="op-determinism",
        changes="TF_DETERMINISTIC_OPS: operations that give the same result each time",
        why="it should only remove nondeterminism, at some cost in speed",
        pin="tf.config.experimental.enable_op_determinism(), or: keras-repro run SCRIPT",
        change=changes.op_determinism,
        achieved=_switch("op_determinism"),
    ),
    Variation(
        name="locale",
        changes="LC_ALL: another language, with a decimal comma if one is installed",
        why="numbers, sorting and encodings in files do not depend on who reads them",
        pin="specify the format: open(..., encoding='utf-8'), float() and sorted() without a locale",
        change=changes.other_locale,
        achieved=lambda facts: facts.recorded("variables", "LC_ALL") or "not set",
    ),
    Variation(
        name="time-zone",
        changes="TZ: on the other side of the earth",
        why="the location of a machine should not influence the training",
        pin="use times with a zone: datetime.now(datetime.UTC)",
        change=changes.time_zone,
        achieved=lambda facts: facts.recorded("variables", "TZ") or "not set",
    ),
    Variation(
        name="working-directory",
        changes="the path of the folder: a copy of it elsewhere",
        why="a clone of the project has another path on each machine",
        pin="do not hash a path, sort by it, or derive a seed from it",
        change=changes.working_directory,
    ),
    Variation(
        name="file-order",
        changes="the order of folder listings (os.listdir, os.scandir, glob, pathlib)",
        why="file systems list files in any order",
        pin="put sorted(...) around the listing of files",
        change=changes.file_order,
    ),
    Variation(
        name="leftover-files",
        changes="the folder as an earlier run has left it",
        why="a second run should not depend on the first",
        pin="do not read what a run writes: checkpoints, caches, prepared data",
        change=changes.leftover_files,
    ),
    Variation(
        name="variables",
        changes="environment variables that nothing should read: more of them, fewer, a longer block",
        why="they belong to shells, desktops and build services",
        pin="read no variable that does not belong to the training",
        change=changes.other_variables,
    ),
)
"""Every variation, in the order of the trials."""
