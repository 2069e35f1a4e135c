"""The catalogue of variations: changes of the surroundings that should not matter to a training.

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
    """One change of the surroundings.

    Attributes:
        name: its name on the command line, and of its run folder.
        changes: what it changes, in a line.
        why: why that should not matter.
        pin: what makes a script independent of it.
        change: gives the change against a baseline; raises `NotTriedError` where it cannot be made.
        achieved: reads from a run what was in effect; None where nothing in a ledger tells.
        alone: whether no other process of ours may run beside it.
    """

    name: str
    changes: str
    why: str
    pin: str
    change: Callable[[Baseline], Change]
    achieved: Callable[[RunFacts], Any] | None = None
    alone: bool = False


def chosen(text: str) -> tuple[Variation, ...]:
    """The variations that a list with commas names, in the catalogue's order.

    Args:
        text: names, `threads` for those within and between operations, or `all`.

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
    wanted = {one for name in names for one in known[name]}
    return tuple(v for v in CATALOGUE if v.name in wanted)


def _switch(name: str) -> Callable[[RunFacts], Any]:
    return lambda seen: seen.switch(name)


CATALOGUE: tuple[Variation, ...] = (
    Variation(
        name="hash-seed",
        changes="PYTHONHASHSEED: Python's hashes of text, and with them the order of sets",
        why="no order of a set and no hash() should reach the training",
        pin="go through sets in sorted(...) order, or start Python with PYTHONHASHSEED=0",
        change=changes.hash_seed,
        achieved=_switch("hash_seed"),
    ),
    Variation(
        name="intra-threads",
        changes="TF_NUM_INTRAOP_THREADS: threads within an operation",
        why="sums that threads share are only rounded in another order",
        pin="start with: TF_NUM_INTRAOP_THREADS=1 python ..., or: keras-repro run SCRIPT",
        change=changes.intra_threads,
        achieved=_switch("intra_op_threads"),
        alone=True,
    ),
    Variation(
        name="inter-threads",
        changes="TF_NUM_INTEROP_THREADS: operations that run side by side",
        why="operations that do not depend on each other may run in any order",
        pin="start with: TF_NUM_INTEROP_THREADS=1 python ..., or: keras-repro run SCRIPT",
        change=changes.inter_threads,
        achieved=_switch("inter_op_threads"),
        alone=True,
    ),
    Variation(
        name="cpu-count",
        changes="the CPUs that the process may use: half of them; TensorFlow takes its threads from them",
        why="a machine with fewer CPUs should only be slower",
        pin="pin the thread counts: keras-repro run SCRIPT",
        change=changes.cpu_count,
        achieved=lambda seen: seen.cpu("available"),
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
        changes="XLA, on where it is off (TF_XLA_FLAGS), off where Keras chose it",
        why="compiled operations compute the same up to rounding",
        pin="model.compile(..., jit_compile=False)",
        change=changes.xla,
        achieved=lambda seen: (seen.jit, seen.switch("xla_auto_jit")),
    ),
    Variation(
        name="op-determinism",
        changes="TF_DETERMINISTIC_OPS: operations that give the same result each time",
        why="it should only take the chance out, and some speed",
        pin="tf.config.experimental.enable_op_determinism(), or: keras-repro run SCRIPT",
        change=changes.op_determinism,
        achieved=_switch("op_determinism"),
    ),
    Variation(
        name="locale",
        changes="LC_ALL: another language, if there is one with a decimal comma",
        why="numbers, sorting and encodings in files are not the reader's",
        pin="say what you read: open(..., encoding='utf-8'), float() and sorted() without a locale",
        change=changes.other_locale,
        achieved=lambda seen: seen.variable("LC_ALL") or "not set",
    ),
    Variation(
        name="time-zone",
        changes="TZ: on the other side of the earth",
        why="where a machine stands should not reach the training",
        pin="take times with a zone: datetime.now(datetime.UTC)",
        change=changes.time_zone,
        achieved=lambda seen: seen.variable("TZ") or "not set",
    ),
    Variation(
        name="working-directory",
        changes="the path of the folder: a copy of it elsewhere",
        why="a clone of the project has another path on each machine",
        pin="no path should be hashed, sorted by, or drawn a seed from",
        change=changes.working_directory,
    ),
    Variation(
        name="file-order",
        changes="the order of folders' listings (os.listdir, os.scandir, glob, pathlib)",
        why="file systems list in any order they like",
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
"""Every variation, in the order in which they are tried."""
