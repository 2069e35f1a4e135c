"""What a fix takes away: batches, samples, orders of epochs, initial values, values of lines."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from keras_repro.root_cause.lost_randomness import lost_randomness
from keras_repro.storage.trace_file import (
    BatchEvent,
    ContextEvent,
    Interval,
    LineEvent,
    StepPosition,
    ThreadLineEvent,
    VariableEvent,
)


def trace(*events: ContextEvent) -> list[Interval]:
    return [Interval(context=events, checked=None)]


def batches(*epochs: str, rows: str = "") -> list[Interval]:
    """Return a trace with a batch for each letter of each epoch; its sample is that letter, or `rows`."""
    return trace(
        *(
            BatchEvent(position=StepPosition(0, epoch, step), parts={"0": letter}, rows=(rows or letter,))
            for epoch, letters in enumerate(epochs)
            for step, letter in enumerate(letters)
        )
    )


def values(kind: type[LineEvent | ThreadLineEvent], different: int, of: int) -> list[Interval]:
    digests = {"digests": {}} if kind is LineEvent else {}
    return trace(kind(file="a.py", line=3, runs=(), varied={"noise": (different, of)}, **digests))


def variables(*digests: str, is_seed: bool = False) -> list[Interval]:
    return trace(*(VariableEvent(name=str(i), digest=d, is_seed=is_seed) for i, d in enumerate(digests)))


def lost(before: Iterable[Interval], after: Iterable[Interval], **options: object) -> str | None:
    return lost_randomness(before, after, line_after=lambda at: at, **options)  # type: ignore[arg-type]


LOST = [
    (batches("abcd"), batches("aaaa"), "fit 1, epoch 1 has 1 in place of 4 different batches"),
    (batches("abcd", "badc"), batches("abcd", "abcd"), "1 in place of 2 different orders"),
    (batches("abcdefgh", "ijklmnop"), batches("abcdefgh", "badcfehg"), "8 in place of 16 different samples"),
    (variables("a", "b"), variables("c", "c"), "weights have 1 in place of 2 different initial values"),
    (variables("a", "b", is_seed=True), variables("c", "c", is_seed=True), "seed generators have 1 in place"),
    (values(LineEvent, 12, 12), values(LineEvent, 1, 12), "line 3: noise has 1 in place of 12 different"),
    (values(ThreadLineEvent, 2, 2), values(ThreadLineEvent, 1, 2), "line 3: noise has 1 in place of 2"),
    (values(LineEvent, 24, 24), values(LineEvent, 12, 24), "12 in place of 24"),
]


@pytest.mark.parametrize(("before", "after", "reason"), LOST)
def test_fewer_different_values_are_a_loss(
    before: list[Interval], after: list[Interval], reason: str
) -> None:
    assert reason in str(lost(before, after))
    assert lost(before, before) is None
    assert lost(after, before) is None


KEPT = [
    (batches("abcd", "badc"), batches("efgh", "hgfe")),  # other samples, as many
    (batches("aabb"), batches("aaaa")),  # batches that repeated anyway may become one by chance
    (batches("abcd"), batches("a")),  # one batch only
    (values(LineEvent, 12, 12), values(LineEvent, 1, 1)),  # the line runs once
    (values(LineEvent, 9, 12), values(LineEvent, 8, 12)),  # drawn with replacement
    (values(LineEvent, 3, 12), values(LineEvent, 1, 12)),
    (variables("a", "b"), variables("c")),  # another model
]


@pytest.mark.parametrize(("before", "after"), KEPT)
def test_what_chance_explains_is_no_loss(before: list[Interval], after: list[Interval]) -> None:
    assert lost(before, after) is None


def test_values_from_the_clock_are_not_compared() -> None:
    before, after = values(LineEvent, 12, 12), values(LineEvent, 1, 12)
    assert lost(before, after, with_lines=False) is None


def test_epochs_of_frozen_fits_are_not_compared() -> None:
    before, after = batches("abcdefgh", "ijklmnop"), batches("abcdefgh", "abcdefgh")
    assert lost(before, after, frozen_fits={0}) is None
    assert lost(before, after, frozen_fits={1}) is not None


def test_lines_are_found_where_the_fix_has_moved_them() -> None:
    before, after = values(LineEvent, 12, 12), values(LineEvent, 1, 12)
    assert lost_randomness(before, after, line_after=lambda at: (at[0], at[1] + 1)) is None
