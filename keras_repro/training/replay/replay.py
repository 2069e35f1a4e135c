"""Replay one training step from the state before it: unchanged, and with taps.

The step is run as it was compiled for the training. First the same function runs again; then the step is
traced again with taps, to find where its results come from. A replay is faithful if it gives the recorded
state.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import xxhash

from keras_repro.comparison.distances.tensor_distance import tap_distance
from keras_repro.determinism.seeds import restore_rng_state
from keras_repro.storage.atomic_files import refuse_link, remove_file
from keras_repro.storage.divergence_report import ReplayReport, TapDistance, TappedReport, TapReport
from keras_repro.storage.run_folder import STATE_BEFORE_NAME, TAPS_NAME
from keras_repro.training.data.batch_feed import iterator_like
from keras_repro.training.replay.recorded_step import RecordedStep
from keras_repro.training.replay.tap_file import TapValues
from keras_repro.training.replay.tapped_step import LEVELS, TappedStep
from keras_repro.training.state.buffers import array_of_value
from keras_repro.training.state.fast_reader import Copy, StateReader
from keras_repro.utils.text import one_line_error

_REPETITIONS = 3
_MAX_KINDS = 8  # of gradients that are tried one by one
_OF_LEVEL = {
    "all": "all of its tensors",
    "forward": "its layers' outputs",
    "gradients": "its gradients",
}

Digests = Mapping[str, Mapping[str, str]]  # by section and name


def replay(step: RecordedStep, folder: Path) -> ReplayReport:
    """Run a step again several times; the model ends with the state of the last run.

    Args:
        step: the step, with the state from before it.
        folder: gets the values of the taps, to be compared with those of another process.
    """
    report = repeat(lambda: step.function(step.feed()), step.reader, step.before, step.generators, step.after)
    before = folder / STATE_BEFORE_NAME
    step.before.move_to(before)  # the taps need the memory
    report = _tap(step, folder, report)
    # Restoring the state after the step would need a second copy.
    step.reader.restore(step.before)
    restore_rng_state(step.generators)
    step.function(step.feed())
    remove_file(before)
    return report


def repeat(
    run: Callable[[], Any],
    reader: StateReader,
    before: Copy,
    generators: Mapping[str, Any],
    after: Digests,
) -> ReplayReport:
    """Run a function several times from one state, without taps.

    Args:
        run: the function.
        reader: reads the state that it changes.
        before: the state before it, from `reader.copy`.
        generators: the states of Python's and NumPy's own generators before it.
        after: digests of the state after it.
    """

    def run_once(*, restore: bool) -> dict[str, dict[str, str]]:
        reader.restore(before)
        if restore:
            restore_rng_state(generators)
        run()
        return reader.tensor_digests()

    repeated = [run_once(restore=True) for _ in range(_REPETITIONS)]
    drawing_on = [run_once(restore=False) for _ in range(2)]
    return ReplayReport(
        faithful=repeated[0] == after,
        agrees=all(r == repeated[0] for r in repeated),
        agrees_drawing_on=all(r == repeated[0] for r in drawing_on),
        differing=_differing([after, *repeated, *drawing_on]),
    )


def _tap(step: RecordedStep, folder: Path, report: ReplayReport) -> ReplayReport:
    """Run the step with taps: with fewer of them if they need too much memory or change its bits.

    Args:
        step: the step.
        folder: gets the values of the taps.
        report: of the replay without taps, to be completed.
    """
    repeats = report.faithful and report.agrees  # then a tapped step that is not faithful is due to its taps
    reasons: list[str] = []
    for level in LEVELS:
        path = folder / f"{level}-{TAPS_NAME}"
        try:
            tapped = _run_with_taps(step, level, path)
        except Exception as error:  # a user's own step may not be traceable with taps
            if _is_of_memory(error):
                reasons.append(f"out of memory with {_OF_LEVEL[level]} tapped")
                continue
            if report.tapped is None:
                report = replace(report, tapped=TappedReport(error=one_line_error(error)))
            break
        if tapped.faithful or report.tapped is None:
            report = replace(report, tapped=tapped, fewer_taps="; ".join(reasons) or None)
            _keep(path)
        if tapped.faithful or not repeats:
            break
        without = _disturbing_gradients(step, tapped) if level == "all" else ()
        if without:
            tapped = _run_with_taps(step, level, path, without=without)
            if tapped.faithful:
                names = " and ".join(without)
                reasons.append(f"the step computes other bits with the gradients of {names} tapped")
                report = replace(report, tapped=tapped, fewer_taps="; ".join(reasons))
                _keep(path)
                break
        reasons.append(f"the step computes other bits with {_OF_LEVEL[level]} tapped")
    for level in LEVELS:
        remove_file(folder / f"{level}-{TAPS_NAME}")
    return report if report.tapped is not None else replace(report, fewer_taps="; ".join(reasons))


def _keep(path: Path) -> None:
    kept = path.with_name(TAPS_NAME)
    refuse_link(kept)
    with contextlib.suppress(FileNotFoundError):  # the disk was full
        path.replace(kept)


def _disturbing_gradients(step: RecordedStep, tapped: TappedReport) -> tuple[str, ...]:
    """Return which gradients change the step's bits if they are tapped, by the last names of their variables.

    TensorFlow's graph optimizer does not rewrite an operation whose output is used elsewhere. Empty if other
    taps change the bits too, or if there are too many kinds of gradients to try each.
    """
    gradients = [tap.name for tap in tapped.taps if tap.kind == "gradient"]
    kinds = tuple(dict.fromkeys(name.rpartition("/")[2] for name in gradients))
    if not 2 <= len(kinds) <= _MAX_KINDS:
        return ()

    def is_faithful(without: Collection[str]) -> bool:
        after, _ = _run_tapped(step, TappedStep(step.model, "all", without=without), lambda _, value: None)
        return after == step.after

    if not is_faithful(kinds):
        return ()
    return tuple(kind for kind in kinds if not is_faithful([k for k in kinds if k != kind]))


def _is_of_memory(error: BaseException | None) -> bool:
    """Return whether memory did not suffice; Keras may raise errors again as another type."""
    while error is not None:
        if isinstance(error, tf.errors.ResourceExhaustedError | MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _run_with_taps(
    step: RecordedStep, level: str, path: Path, *, without: Collection[str] = ()
) -> TappedReport:
    """Run the step with taps: twice from one tracing, and once after tracing again.

    Args:
        step: the step.
        level: which tensors are tapped.
        path: gets the values of the taps in the first run.
        without: kinds of gradients that are not tapped.
    """
    first = TappedStep(step.model, level, without=without)
    digests: list[list[str]] = [[], [], []]
    distances: dict[int, TapDistance] = {}

    def store(index: int, value: Any) -> None:
        values.add(value)
        digests[0].append(_digest(value))

    def compare(index: int, value: Any) -> None:
        digests[1].append(_digest(value))
        if index < len(digests[0]) and digests[1][index] != digests[0][index]:
            stored = values.read(index)
            if stored is not None:
                distances[index] = tap_distance(stored, value)

    with TapValues(path) as values:
        after, taps = _run_tapped(step, first, store)
    _run_tapped(step, first, compare)
    second = TappedStep(step.model, level, without=without)
    after_anew, _ = _run_tapped(step, second, lambda _, value: digests[2].append(_digest(value)))
    return TappedReport(
        level=level,
        faithful=after == step.after,
        faithful_anew=after_anew == step.after,
        taps=tuple(
            replace(tap, digests=(one, two, anew), distance=distances.get(index), dtype=dtype)
            for index, (tap, (one, two, anew), dtype) in enumerate(
                zip(taps, zip_longest(*digests), values.dtypes, strict=False)
            )
        ),
        operations=tuple(first.operations),
    )


def _run_tapped(
    step: RecordedStep, tapped: TappedStep, receive: Callable[[int, Any], None]
) -> tuple[Digests, list[TapReport]]:
    """Run a tapped step; return the digests of the state after it, and the taps.

    Args:
        step: the step.
        tapped: the same with taps.
        receive: called with the index and the value of each tap, which is then released.
    """
    step.reader.restore(step.before)
    restore_rng_state(step.generators)
    model, executions = step.model, step.model.steps_per_execution
    taps: list[TapReport] = []
    received = 0
    model.steps_per_execution = 1  # taps inside the loop over steps could not leave it
    try:
        for number, batch in enumerate(step.batches):
            feed = iterator_like([batch], step.spec) if step.spec is not None else iter([batch])
            values = deque(tapped(feed))
            while values:
                receive(received, array_of_value(values.popleft()))
                received += 1
            taps += [replace(tap, substep=number) for tap in tapped.taps]
    finally:
        model.steps_per_execution = executions
    return step.reader.tensor_digests(), taps


def _differing(states: Sequence[Digests]) -> tuple[tuple[str, str], ...]:
    """Return section and name of the tensors that are not the same in all states."""
    first = states[0]
    return tuple(
        (section, name)
        for section, digests in first.items()
        for name, digest in digests.items()
        if any(s.get(section, {}).get(name) != digest for s in states[1:])
    )


def _digest(value: Any) -> str:
    if value.dtype == object:
        return xxhash.xxh3_64_hexdigest(repr(value.tolist()).encode())
    return xxhash.xxh3_64_hexdigest(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
