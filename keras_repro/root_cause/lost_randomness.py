"""Compare how much randomness two traces have: of a script, and of the same script with a fix.

A fix that gives each step the same draw makes runs agree, and ruins the training. It shows in what has fewer
different values than before: batches, samples, orders of epochs, values of lines, initial values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from keras_repro.storage.trace_file import (
    BatchEvent,
    Interval,
    LineEvent,
    ThreadLineEvent,
    VariableEvent,
)

_FEW = 8  # of fewer values, only the loss of all differences counts: the rest may be chance
_KEPT = 0.6  # the share of different values may be smaller by chance, but not by this much

At = tuple[str, int]


@dataclass
class _Variety:
    """What a trace has several values of.

    Attributes:
        batches: the digests of the batches by fit and epoch.
        rows: the digests of the samples by fit and epoch.
        lines: for each name of a line, how many different values it had, and how many values.
        initial: digests of initial values; those of seed generators apart.
    """

    batches: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    rows: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    lines: dict[tuple[At, str], tuple[int, int]] = field(default_factory=dict)
    initial: dict[bool, list[str]] = field(default_factory=dict)


def lost_randomness(
    before: Iterable[Interval],
    after: Iterable[Interval],
    *,
    line_after: Callable[[At], At],
    frozen_fits: Collection[int] = (),
    with_lines: bool = True,
) -> str | None:
    """Return what has fewer different values with a fix, in words; None if nothing has.

    Args:
        before: the trace of a process without the fix.
        after: the trace of a process with the fix.
        line_after: returns the place of a line in the changed files.
        frozen_fits: numbers of the fits whose epochs are not compared with each other, such as those whose
            arrays Keras shuffles alike in each epoch, as it does under a seed.
        with_lines: whether the values of lines are compared too; not if they came from the clock.
    """
    old, new = _variety(before), _variety(after)
    for key in sorted(old.batches.keys() & new.batches.keys()):
        where = f"epoch {key[1] + 1}" if key[0] < 0 else f"fit {key[0] + 1}, epoch {key[1] + 1}"
        for what, values in (("batches", "batches"), ("samples", "rows")):
            found = _counts(getattr(old, values)[key]), _counts(getattr(new, values)[key])
            if _fell(*found):
                return f"{where} has {_text(*found)} different {what}"
    for fit in sorted({fit for fit, _ in old.batches} - set(frozen_fits)):
        epochs = [k for k in old.batches if k[0] == fit and k in new.batches]
        orders = [_counts([" ".join(v.batches[k]) for k in epochs]) for v in (old, new)]
        if _fell(*orders):
            return f"the epochs have {_text(*orders)} different orders or values of their batches"
        rows = [_counts([row for k in epochs for row in v.rows[k]]) for v in (old, new)]
        if _fell(*rows):
            return f"the epochs have {_text(*rows)} different samples"
    for is_seed, what in ((False, "weights"), (True, "seed generators")):
        initial = [_counts(v.initial.get(is_seed, [])) for v in (old, new)]
        if initial[0][1] == initial[1][1] and initial[1][0] < initial[0][0]:
            return f"{what} have {_text(*initial)} different initial values"
    for (at, name), counts in old.lines.items() if with_lines else ():
        changed = new.lines.get((line_after(at), name))
        if changed is not None and _fell(counts, changed):
            return f"line {line_after(at)[1]}: {name} has {_text(counts, changed)} different values"
    return None


def _variety(trace: Iterable[Interval]) -> _Variety:
    variety = _Variety()
    for event in (event for interval in trace for event in interval.context):
        if isinstance(event, BatchEvent):
            key = event.position.fit, event.position.epoch
            variety.batches.setdefault(key, []).append(" ".join(event.parts.values()))
            variety.rows.setdefault(key, []).extend(event.rows)
        elif isinstance(event, LineEvent | ThreadLineEvent):
            for name, counts in event.varied.items():
                variety.lines[(event.file, event.line), name] = counts
        elif isinstance(event, VariableEvent):
            variety.initial.setdefault(event.is_seed, []).append(event.digest)
    return variety


def _counts(values: Sequence[str]) -> tuple[int, int]:
    return len(set(values)), len(values)


def _fell(old: tuple[int, int], new: tuple[int, int]) -> bool:
    """Return whether there are fewer different values, by more than chance explains."""
    if old[0] < 2 or new[1] < 2 or new[0] >= old[0]:
        return False
    # Values that differed nearly always do not become one by chance.
    if new[0] == 1:
        return old[0] > old[1] // 2
    return old[0] >= _FEW and new[0] / new[1] < _KEPT * old[0] / old[1]


def _text(old: tuple[int, int], new: tuple[int, int]) -> str:
    return f"{new[0]} in place of {old[0]}"
