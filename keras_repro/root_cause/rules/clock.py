"""A training that the clock ends: its runs make different numbers of steps."""

from __future__ import annotations

from collections.abc import Iterable

from keras_repro.comparison.divergence import Divergence
from keras_repro.root_cause.explanation import Explanation
from keras_repro.root_cause.suspects import user_line
from keras_repro.source_code.dataflow import SourceModel
from keras_repro.source_code.nondeterminism import reads_clock
from keras_repro.storage.trace_file import Interval, LineEvent
from keras_repro.utils.source_line import SourceLine

BY_STEPS = "end the training after a number of steps or epochs, not of seconds"


def line_that_ends_by_clock(trace: Iterable[Interval]) -> SourceLine | None:
    """Return the line of a trace that ends a loop or a training when the clock says so, if it is only one."""
    deciding = {
        (event.file, event.line)
        for interval in trace
        for event in interval.context
        if isinstance(event, LineEvent) and "continues at" in event.digests
    }
    code = SourceModel({file for file, _ in deciding})
    ending = [at for at in deciding if code.ends_loop(*at) and _reads_clock(code, *at)]
    return user_line(*ending[0]) if len(ending) == 1 else None


def recorded_end_by_clock(trace: Iterable[Interval], recorded: Divergence | None) -> Explanation | None:
    """Explain recorded runs that made different numbers of steps, if a line ends them by the clock.

    Args:
        trace: of a further run, which did not diverge.
        recorded: where the recorded runs diverged.
    """
    tensors = () if recorded is None else recorded.tensors
    counts = [t["tensor"] for t in tensors if t["tensor"].rpartition("/")[2] == "iterations"]
    source = line_that_ends_by_clock(trace) if counts else None
    if recorded is None or source is None:
        return None
    return Explanation(
        cause="configuration",
        sentence="the clock ended the training after different numbers of steps",
        place=recorded.place(),
        fit=recorded.fit,
        epoch=recorded.epoch,
        subject="the number of steps",
        source=source,
        evidence=(f"the recorded runs differ in {counts[0]}",),
        fix=BY_STEPS,
    )


def _reads_clock(code: SourceModel, file: str, line: int) -> bool:
    """Return whether a line reads the clock, or a name that a line sets by the clock."""
    if reads_clock(code.text_at(file, line)):
        return True
    names = code.read_by(file, line)
    return bool(code.definitions_reaching(file, line, names, draws=False, matches=reads_clock, anywhere=True))
