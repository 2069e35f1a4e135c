"""One training step again, from the state before it: as it was, and with its inside to look at.

The step is run as it was compiled for the training, never eagerly where the training was not. First the very
function that has run; then, to see where its results come from, traced anew with taps. A replay whose result
is not the recorded one is said to be not faithful.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import xxhash

from keras_repro.comparison.distances.tensor_distance import distance
from keras_repro.determinism.seeds import restore_rng_state
from keras_repro.processes.protocol import TAPS_NAME
from keras_repro.training.data.batch_feed import iterator_like
from keras_repro.training.replay.recorded_step import RecordedStep
from keras_repro.training.replay.tap_file import TapValues
from keras_repro.training.replay.tapped_step import LEVELS, Tap, TappedStep
from keras_repro.training.state.buffers import array_of_value
from keras_repro.training.state.fast_reader import Copy, StateReader
from keras_repro.utils.text import one_line_error

_TIMES = 3
_MOST_KINDS = 8  # of gradients that are tried one by one


def replay(step: RecordedStep, folder: Path) -> dict[str, Any]:
    """Runs a step again and again; a step that repeats itself leaves the model as the first run of it did.

    Args:
        step: the step, with the state from before it.
        folder: gets the values of the taps, for another process's to be held against.

    Returns:
        `faithful` (whether the first repetition gave the recorded state), `agrees` (whether all did),
        `agrees_drawing_on` (whether they did with the process's own generators moving on), `differing`
        (tensors in which repetitions differ), `tapped` (what the taps showed, see `_tapped`), and
        `fewer_taps` (why not all that could be was taken out) where there is a reason.
    """
    found = repeated(
        lambda: step.function(step.feed()), step.reader, step.before, step.generators, step.after
    )
    kept = folder / "before.h5"
    step.before.move_to(kept)  # what is taken out of the step needs the memory
    found |= _looked_into(step, folder, steady=found["faithful"] and found["agrees"])
    # It ends as the step itself did: no second copy of the state is held for that.
    step.reader.restore(step.before)
    restore_rng_state(step.generators)
    step.function(step.feed())
    kept.unlink(missing_ok=True)
    return found


def repeated(
    run: Callable[[], Any],
    reader: StateReader,
    before: Copy,
    generators: Mapping[str, Any],
    after: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    """Runs something again and again from one state, as it was; not into its inside.

    Args:
        run: runs it.
        reader: reads the state that it changes.
        before: the state from before it, as `reader.copy` gave it.
        generators: the states of Python's and NumPy's own generators from before it.
        after: digests of the state after it.

    Returns:
        `faithful`, `agrees`, `agrees_drawing_on` and `differing`, as of `replay`.
    """

    def once(*, restore: bool) -> dict[str, dict[str, str]]:
        reader.restore(before)
        if restore:
            restore_rng_state(generators)
        run()
        return reader.tensor_digests()

    again = [once(restore=True) for _ in range(_TIMES)]
    drawing_on = [once(restore=False) for _ in range(2)]
    return {
        "faithful": again[0] == after,
        "agrees": all(a == again[0] for a in again),
        "agrees_drawing_on": all(a == again[0] for a in drawing_on),
        "differing": _differing([after, *again, *drawing_on]),
    }


def _looked_into(step: RecordedStep, folder: Path, *, steady: bool) -> dict[str, Any]:
    """Runs the step with its inside taken out, with less of it where that needs too much or changes its bits.

    Args:
        step: the step.
        folder: gets the values of the taps.
        steady: whether the step repeats itself without taps, so that one that does not is due to them.
    """
    found: dict[str, Any] = {}
    why_not: list[str] = []
    for level in LEVELS:
        path = folder / f"{level}-{TAPS_NAME}"
        try:
            tapped = _tapped(step, level, path)
        except Exception as error:  # also of a user's own step that cannot be traced with taps in it
            if _is_of_memory(error):
                why_not.append(f"out of memory with {_OF_LEVEL[level]} taken out")
                continue
            found.setdefault("tapped", {"error": one_line_error(error)})
            break
        if tapped["faithful"] or "tapped" not in found:
            found = {"tapped": tapped} | ({"fewer_taps": "; ".join(why_not)} if why_not else {})
            with contextlib.suppress(FileNotFoundError):  # where the disk was full
                path.replace(folder / TAPS_NAME)
        if tapped["faithful"] or not steady:
            break
        without = _disturbing(step, tapped) if level == "all" else ()
        if without:
            part = _tapped(step, level, path, without=without)
            if part["faithful"]:
                names = " and ".join(without)
                why_not.append(f"the step computes other bits with the gradients of {names} taken out")
                found = {"tapped": part, "fewer_taps": "; ".join(why_not)}
                with contextlib.suppress(FileNotFoundError):
                    path.replace(folder / TAPS_NAME)
                break
        why_not.append(f"the step computes other bits with {_OF_LEVEL[level]} taken out")
    if "tapped" not in found:
        found["fewer_taps"] = "; ".join(why_not)
    for level in LEVELS:
        (folder / f"{level}-{TAPS_NAME}").unlink(missing_ok=True)
    return found


def _disturbing(step: RecordedStep, tapped: Mapping[str, Any]) -> tuple[str, ...]:
    """Which gradients change the step's bits where they are taken out, by the last names of their variables.

    TensorFlow's graph optimizer does not rewrite what something else uses too. Empty where it is not just
    some of the gradients, or where there are too many kinds of them to try each.
    """
    gradients = [t["name"] for t in tapped["taps"] if t["kind"] == "gradient"]
    kinds = tuple(dict.fromkeys(name.rpartition("/")[2] for name in gradients))
    if not 2 <= len(kinds) <= _MOST_KINDS:
        return ()

    def is_faithful(without: Collection[str]) -> bool:
        after, _ = _run_tapped(step, TappedStep(step.model, "all", without=without), lambda _, value: None)
        return after == step.after

    if not is_faithful(kinds):
        return ()
    return tuple(kind for kind in kinds if not is_faithful([k for k in kinds if k != kind]))


def _is_of_memory(error: BaseException | None) -> bool:
    """Whether memory did not suffice; Keras raises errors anew, in a type of its own where it has to."""
    while error is not None:
        if isinstance(error, tf.errors.ResourceExhaustedError | MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


_OF_LEVEL = {
    "all": "all of its tensors",
    "forward": "its layers' outputs",
    "gradients": "its gradients",
}


def _tapped(step: RecordedStep, level: str, path: Path, *, without: Collection[str] = ()) -> dict[str, Any]:
    """Runs the step with taps: twice as traced once, and once more as traced anew.

    Args:
        step: the step.
        level: how much of its inside is taken out.
        path: gets the values of the taps in the first run.
        without: kinds of gradients that are not taken out.

    Returns:
        `level`, `faithful`, `faithful_anew`, `taps` (each with `digests`: of both runs and of the second
        tracing, and the `distance` between the two runs where they differ) and `operations`.
    """
    first = TappedStep(step.model, level, without=without)
    seen: list[list[str]] = [[], [], []]
    gaps: dict[int, dict[str, Any]] = {}

    def keep(index: int, value: Any) -> None:
        values.add(value)
        seen[0].append(_digest(value))

    def compare(index: int, value: Any) -> None:
        seen[1].append(_digest(value))
        if index < len(seen[0]) and seen[1][index] != seen[0][index]:
            then = values.read(index)
            if then is not None:
                gaps[index] = distance(then, value)

    with TapValues(path) as values:
        after, labels = _run_tapped(step, first, keep)
    _run_tapped(step, first, compare)
    second = TappedStep(step.model, level, without=without)
    anew, _ = _run_tapped(step, second, lambda _, v: seen[2].append(_digest(v)))
    taps = []
    for index, (label, tap) in enumerate(labels):
        digests = [held[index] if index < len(held) else None for held in seen]
        gap = {"distance": gaps[index]} if index in gaps else {}
        said = {"source": tap.line, "dtype": values.dtypes[index]}
        taps.append(label | {"digests": digests} | gap | said)
    found = {
        "level": level,
        "faithful": after == step.after,
        "faithful_anew": anew == step.after,
        "taps": taps,
        "operations": first.trace.operations,
    }
    return found


def _run_tapped(
    step: RecordedStep, tapped: TappedStep, look: Callable[[int, Any], None]
) -> tuple[Mapping[str, Mapping[str, str]], list[tuple[dict[str, Any], Tap]]]:
    """The state's digests after the step, and the taps; their values are looked at one by one and let go."""
    step.reader.restore(step.before)
    restore_rng_state(step.generators)
    model, executions = step.model, step.model.steps_per_execution
    labels: list[tuple[dict[str, Any], Tap]] = []
    seen = 0
    model.steps_per_execution = 1  # taps inside the loop over steps would not come out of it
    try:
        for number, batch in enumerate(step.batches):
            feed = iterator_like([batch], step.spec) if step.spec is not None else iter([batch])
            waiting = deque(tapped(feed))
            while waiting:
                look(seen, array_of_value(waiting.popleft()))
                seen += 1
            labels += [({**tap.to_dict(), "substep": number}, tap) for tap in tapped.trace.taps]
    finally:
        model.steps_per_execution = executions
    return step.reader.tensor_digests(), labels


def _differing(states: Sequence[Mapping[str, Mapping[str, str]]]) -> list[list[str]]:
    first = states[0]
    return [
        [section, name]
        for section, held in first.items()
        for name, digest in held.items()
        if any(s.get(section, {}).get(name) != digest for s in states[1:])
    ]


def _digest(value: Any) -> str:
    if value.dtype == object:
        return xxhash.xxh3_64_hexdigest(repr(value.tolist()).encode())
    return xxhash.xxh3_64_hexdigest(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
