"""The grade of two runs and its reason: proven by snapshots, explained by noise, or neither."""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ledger_builders import training, write
from with_weights import write_run

from keras_repro.comparison.compare import compare, compare_all
from keras_repro.comparison.distances.layer_distances import distances
from keras_repro.comparison.grade import grade, rounding_bound
from keras_repro.comparison.noise_floor import NoiseFloor
from keras_repro.comparison.result import Grade
from keras_repro.errors import ReproError
from keras_repro.ledger.reader import open_ledger
from keras_repro.report.console.comparison import print_comparison
from keras_repro.report.console.terminal import make_console
from keras_repro.report.html.compare_page import render_comparison

RNG = np.random.default_rng(5)
KERNEL = RNG.uniform(0.01, 0.99, (30, 40)).astype("f4")


def graded(tmp_path: Path, other: np.ndarray, *, steps: int | None = 100, keep: Any = (1,)) -> Grade:
    """Return the grade of two runs of one epoch that end with KERNEL and with another kernel."""
    start = {"layers/0/kernel": KERNEL}
    pair = [
        write_run(tmp_path / n, [start, {"layers/0/kernel": k}], keep=keep, steps=steps)
        for n, k in (("a", KERNEL * np.float32(1)), ("b", other))
    ]
    result = compare(*pair)
    assert result.grade == grade(result, *result.ledgers)
    assert result.to_dict()["grade"] == (None if result.grade is None else result.grade.to_dict())
    assert result.grade is not None
    assert "\n" not in result.grade.reason
    return result.grade


def by_ulps(number: float) -> np.ndarray:
    """Return KERNEL with one element changed by a number of ULPs of its largest, 2**-24 each."""
    other = KERNEL.copy()
    other[3, 4] += np.float32(number * 2**-24)
    return other


def test_equal_runs_have_grade_bitwise(tmp_path: Path) -> None:
    assert graded(tmp_path, KERNEL) == Grade("bitwise", "all digests of 4 records agree")


def test_rounding_differences_have_grade_ulp(tmp_path: Path) -> None:
    assert graded(tmp_path, by_ulps(100)) == Grade(
        "ulp",
        "weights differ by at most 100 ULPs of their tensor's scale (most: layers/0/kernel); rounding "
        "explains 100",
    )


def test_more_than_one_ulp_a_step_is_different(tmp_path: Path) -> None:
    result = graded(tmp_path, by_ulps(101))
    assert result.name == "different"
    assert "layers/0/kernel differs by 101 of its ULPs; rounding explains at most 100" in result.reason


def test_more_than_half_of_the_digits_is_different(tmp_path: Path) -> None:
    assert graded(tmp_path / "1", by_ulps(4096), steps=10**6).name == "ulp"
    assert graded(tmp_path / "2", by_ulps(4097), steps=10**6).name == "different"
    assert graded(tmp_path / "3", by_ulps(4096), steps=None).name == "ulp"
    assert graded(tmp_path / "4", by_ulps(4097), steps=None).name == "different"


def test_element_near_zero_is_measured_by_the_scale_of_its_tensor(tmp_path: Path) -> None:
    near = KERNEL.copy()
    near[0, 0] = 1e-30
    start = {"layers/0/kernel": KERNEL}
    far = near.copy()
    far[0, 0] = -1e-30
    pair = [
        write_run(tmp_path / n, [start, {"layers/0/kernel": k}], keep=(1,))
        for n, k in (("a", near), ("b", far))
    ]
    result = compare(*pair)
    assert result.grade is not None
    assert result.grade.name == "ulp"
    assert result.how_far is not None
    assert result.how_far.end.tensors[0].ulps == 2 * int(np.float32(1e-30).view("i4"))


def test_grade_ulp_needs_snapshots(tmp_path: Path) -> None:
    for number, keep in enumerate([(), (0,)]):
        result = graded(tmp_path / str(number), by_ulps(1), keep=keep)
        assert result.name == "different"
        assert 'no snapshots to prove rounding (keep="last")' in result.reason


def test_grade_ulp_needs_snapshots_of_the_last_epoch(tmp_path: Path) -> None:
    states = [{"layers/0/kernel": k} for k in (KERNEL, KERNEL * 2, KERNEL * 3)]
    others = [*states[:2], {"layers/0/kernel": states[2]["layers/0/kernel"] + 1}]
    pair = [write_run(tmp_path / n, s, keep=(1,)) for n, s in (("a", states), ("b", others))]
    assert compare(*pair).grade.name == "different"  # type: ignore[union-attr]


def test_differences_that_are_no_rounding_are_different(tmp_path: Path) -> None:
    odd = KERNEL.copy()
    odd[0, 0] = np.nan
    result = graded(tmp_path, odd)
    assert result.name == "different"
    assert "layers/0/kernel differs by a value that is not finite" in result.reason
    counts = [{"t/table": np.arange(50)}, {"t/table": np.arange(50) + (np.arange(50) == 7)}]
    pair = [write_run(tmp_path / n, [counts[0], c], keep=(1,)) for n, c in zip("cd", counts, strict=True)]
    assert compare(*pair).grade.name == "different"  # type: ignore[union-attr]


def test_rounding_bound_depends_on_dtype_and_steps() -> None:
    assert [rounding_bound("float32", s) for s in (None, 0, 1, 5000)] == [4096, 1, 1, 4096]
    assert [rounding_bound(d, None) for d in ("bfloat16", "float16", "float64", "int32", "string")] == [
        16, 32, 1 << 26, 0, 0,
    ]  # fmt: skip


def test_early_end_or_other_structure_is_different(tmp_path: Path) -> None:
    states = [{"layers/0/kernel": KERNEL * np.float32(n)} for n in (1, 2, 3)]
    pair = [write_run(tmp_path / n, s, status="killed") for n, s in (("a", states), ("b", states[:2]))]
    result = compare(*pair).grade
    assert result is not None
    assert result.name == "different"
    assert result.reason.startswith("the same until epoch 1")
    other = write_run(tmp_path / "c", [{"layers/0/kernel": KERNEL[:5]}])
    result = compare(pair[0], other)
    assert result.grade is None
    assert grade(result, *result.ledgers).reason.startswith("not comparable: different models: ")
    again = compare_all([pair[0], other], same_script=True).grade
    assert again is not None
    assert again.reason.startswith("different models: ")


def test_difference_of_metrics_alone_is_different(tmp_path: Path) -> None:
    states = [{"layers/0/kernel": KERNEL}] * 2
    pair = [write_run(tmp_path / n, states, metrics=[{"loss": loss}]) for n, loss in (("a", 0.5), ("b", 0.6))]
    result = compare(*pair)
    assert result.how_far is None
    assert result.grade == Grade(
        "different",
        "the final weights are identical, but not the metrics at epoch 1/1; "
        "no runs with other seeds (--noise)",
    )


def test_runs_without_sketches_and_snapshots_are_graded(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", training()), write(tmp_path / "b", training(epochs=2, status="stopped"))
    assert compare(a, a).grade == Grade("bitwise", "all digests of 7 records agree")
    assert compare(a, b).grade.name == "different"  # type: ignore[union-attr]


# Noise.


def seeds(tmp_path: Path, losses: Mapping[str, float], **more: Any) -> list[Path]:
    """Write a run for each name, with its own weights and this final loss."""
    return [
        write_run(
            tmp_path / name,
            [{"layers/0/kernel": KERNEL * np.float32(1 + i)}] * 2,
            metrics=[{"loss": loss}],
            created=f"at {name}",
            **more,
        )
        for i, (name, loss) in enumerate(losses.items())
    ]


def test_difference_within_noise_has_grade_statistical(tmp_path: Path) -> None:
    a, b, c, *noise = seeds(tmp_path, {"a": 1.0, "b": 1.6, "c": 2.3, "1": 0.9, "2": 1.0, "3": 1.1})
    # s = 0.1, t of 2 degrees of freedom = 4.303, sqrt(2): 0.6085.
    floor = NoiseFloor.of([open_ledger(n) for n in noise])
    assert np.isclose(floor.floors["loss"], 0.1 * 4.303 * 2**0.5)
    assert compare(a, b, noise=noise).grade == Grade(
        "statistical", "loss differs by 0.6, within the 0.61 that the seed alone makes (3 runs, 95%)"
    )
    assert compare(a, c, noise=noise).grade == Grade(
        "different", "loss differs by 1.3, beyond the 0.61 that the seed alone makes (3 runs, 95%)"
    )
    assert compare(a, a, noise=noise).grade.name == "bitwise"  # type: ignore[union-attr]


def test_noise_floor_covers_19_of_20_pairs(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    within = 0
    for _ in range(2000):
        drawn = rng.normal(size=7)
        floor = 2.776 * 2**0.5 * drawn[2:].std(ddof=1)
        within += abs(drawn[0] - drawn[1]) <= floor
    assert 1870 <= within <= 1930
    losses = {str(i): float(v) for i, v in enumerate(drawn[2:])}
    measured = NoiseFloor.of([open_ledger(n) for n in seeds(tmp_path, losses)])
    assert np.isclose(measured.floors["loss"], floor, rtol=1e-9)


def test_noise_floor_of_zero_covers_no_difference(tmp_path: Path) -> None:
    a, b, *noise = seeds(tmp_path, {"a": 1.0, "b": 1.001, "1": 1.0, "2": 1.0, "3": 1.0})
    assert compare(a, b, noise=noise).grade.name == "different"  # type: ignore[union-attr]


def test_unsuitable_runs_for_the_noise_floor_are_refused(tmp_path: Path) -> None:
    a, b, *noise = seeds(tmp_path, {"a": 1.0, "b": 2.0, "1": 1.0, "2": 1.1, "3": 1.2})
    with pytest.raises(ReproError, match="at least 3 runs with other seeds, got 2"):
        compare(a, b, noise=noise[:2])
    with pytest.raises(ReproError, match="are the same training: use runs with other seeds"):
        compare(a, b, noise=[*noise, noise[0]])
    stopped = seeds(tmp_path / "stopped", {"4": 1.0}, status="stopped")
    with pytest.raises(ReproError, match="did not finish: it cannot be used for the noise floor"):
        compare(a, b, noise=[*noise, *stopped])
    silent = [write_run(tmp_path / f"s{i}", [{"w/x": KERNEL * np.float32(i)}]) for i in range(1, 4)]
    with pytest.raises(ReproError, match="no number in common"):
        compare(a, b, noise=silent)
    other = write_run(tmp_path / "e", [{"layers/0/kernel": KERNEL * 9}] * 2, status="stopped")
    with pytest.raises(ReproError, match="did not finish: its results cannot be compared with the noise"):
        compare(a, other, noise=noise)


def test_each_ledger_is_opened_once(tmp_path: Path) -> None:
    """For the verdict, the distances, the grade with its noise floor, the page and the terminal together."""
    a, b, *noise = seeds(tmp_path, {"a": 1.0, "b": 1.6, "1": 0.9, "2": 1.0, "3": 1.1})
    opened: Counter[str] = Counter()
    counting = True

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        if counting and event == "open" and str(arguments[0]).endswith("ledger.jsonl"):
            opened[str(arguments[0])] += 1

    sys.addaudithook(count)  # it cannot be removed
    try:
        comparison = compare(a, b, noise=noise)
        render_comparison(comparison, distances(*comparison.ledgers))
        print_comparison(comparison, make_console(io.StringIO()))
    finally:
        counting = False
    assert comparison.grade is not None
    assert comparison.grade.name == "statistical"
    assert opened == {str(run / "ledger.jsonl"): 1 for run in (a, b, *noise)}
