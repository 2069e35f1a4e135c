"""Distances of runs from their folders: estimates against true values, and unknown distances."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from with_weights import State, write_run

from keras_repro.comparison.compare import compare
from keras_repro.comparison.distances import layer_distances
from keras_repro.comparison.distances.layer_distances import LayerDistances
from keras_repro.comparison.distances.summary import summarize_distances
from keras_repro.errors import LedgerError
from keras_repro.ledger.reader import open_ledger
from keras_repro.report.console.comparison import distance_lines

RNG = np.random.default_rng(11)
SHAPES = {
    "layers/0/kernel": (300, 50),
    "layers/0/bias": (50,),
    "layers/1/kernel": (50, 300),
    "layers/2/cell/gamma": (20,),
}


def state(scale: float = 0.1) -> dict[str, np.ndarray]:
    return {name: (RNG.normal(size=shape) * scale).astype("f4") for name, shape in SHAPES.items()}


def moved(before: State, by: float, *names: str) -> dict[str, np.ndarray]:
    chosen = {n: a + (RNG.normal(size=a.shape) * by).astype("f4") for n, a in before.items() if n in names}
    return dict(before) | chosen


def true_of(a: State, b: State, layer: str) -> float:
    names = [n for n in a if n.rpartition("/")[0] == layer]
    squares = sum(np.square(a[n].astype("f8") - b[n]).sum() for n in names)
    return float(np.sqrt(squares / sum(np.square(a[n].astype("f8")).sum() for n in names)))


START = state()
A = [START, moved(START, 1e-2, *SHAPES), moved(START, 2e-2, *SHAPES), moved(START, 3e-2, *SHAPES)]
B = [START, A[1], moved(A[2], 1e-5, "layers/1/kernel"), moved(A[3], 1e-3, *SHAPES)]
LAYERS = ("layers/0", "layers/1", "layers/2/cell")


def distances(a: str | os.PathLike[str], b: str | os.PathLike[str], **options: Any) -> LayerDistances:
    return layer_distances.distances(open_ledger(a), open_ledger(b), **options)


def example_distances(tmp_path: Path, **options: object) -> LayerDistances:
    pair = [write_run(tmp_path / name, s, **options) for name, s in (("a", A), ("b", B))]  # type: ignore[arg-type]
    return distances(*pair)


def test_distances_are_a_grid_of_layers_and_epochs(tmp_path: Path) -> None:
    result = example_distances(tmp_path)
    assert result.epochs == ("start", "epoch 1", "epoch 2", "epoch 3")
    assert result.layers == LAYERS
    assert result.titles == ("dense_0", "dense_1", "cell")
    assert result.values.dtype == np.float64
    assert result.exact.dtype == bool
    assert result.values[:, :2].tolist() == [[0.0, 0.0]] * 3
    assert result.values[[0, 2], 2].tolist() == [0.0, 0.0]
    for layer, column in ((1, 2), (0, 3), (1, 3), (2, 3)):
        true = true_of(A[column], B[column], LAYERS[layer])
        assert abs(result.values[layer, column] / true - 1) < 0.3
        # Up to 31 elements are recorded as they are.
        assert result.exact[layer, column] == (layer == 2)
    assert math.isclose(result.values[2, 3], true_of(A[3], B[3], LAYERS[2]), rel_tol=1e-6)
    assert (result.complete, result.tensors, result.notes) == (True, {}, ())


def test_snapshots_give_exact_distances(tmp_path: Path) -> None:
    result = example_distances(tmp_path, keep=(2, 3))
    assert result.exact.all()
    for column in (2, 3):
        for i, layer in enumerate(LAYERS):
            true = true_of(A[column], B[column], layer)
            assert math.isclose(result.values[i, column], true, rel_tol=1e-9)
    assert [t.tensor for t in result.tensors["epoch 2"]] == ["layers/1/kernel"]
    kernel = result.tensors["epoch 2"][0]
    gaps = np.abs(A[2]["layers/1/kernel"].astype("f8") - B[2]["layers/1/kernel"])
    assert kernel.index == np.unravel_index(np.argmax(gaps), gaps.shape)
    assert (kernel.largest, kernel.of) == (gaps.max(), 15_000)


def test_distances_may_be_limited_to_divergence_and_end(tmp_path: Path) -> None:
    middle = [*B[:3], moved(A[3], 1e-4, *SHAPES)]
    pair = [write_run(tmp_path / n, [*s, s[-1] | {}], keep=range(9)) for n, s in (("a", A), ("b", middle))]
    # The last epoch differs again, so the one before it is in the middle.
    ends = distances(*pair, places="ends")
    assert (set(ends.tensors), ends.epochs) == ({"epoch 2", "epoch 4"}, ("epoch 2", "epoch 4"))
    assert np.array_equal(ends.values, distances(*pair).values[:, [2, 4]])
    assert set(distances(*pair).tensors) == {"epoch 2", "epoch 3", "epoch 4"}


def test_snapshots_suffice_without_sketches(tmp_path: Path) -> None:
    result = example_distances(tmp_path, sketches=False, keep=(3,))
    assert np.isnan(result.values[1, 2])
    assert math.isclose(result.values[0, 3], true_of(A[3], B[3], "layers/0"), rel_tol=1e-9)
    assert result.notes == tuple(f"{tmp_path / n} has no sketches of its weights" for n in "ab")


def test_runs_without_sketches_and_snapshots_have_unknown_distances(tmp_path: Path) -> None:
    result = example_distances(tmp_path, sketches=False)
    assert np.isnan(result.values[1, 2])
    assert (result.values[0] == 0).tolist() == [True, True, True, False]
    far = summarize_distances(result)
    assert far is not None
    assert list(distance_lines(far)) == [
        f"distance: unknown; {tmp_path / 'a'} has no sketches of its weights; "
        f"{tmp_path / 'b'} has no sketches of its weights"
    ]


@pytest.mark.parametrize(
    ("dtype", "by"), [("float16", 1e-2), ("bfloat16", 1e-1), ("float64", 1e-12), ("int32", 3)]
)
def test_estimates_are_close_for_every_dtype(tmp_path: Path, dtype: str, by: float) -> None:
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    a = (RNG.normal(size=(100, 100)) * (1 if dtype != "int32" else 1000)).astype(kind)
    b = (a.astype("f8") + RNG.normal(size=a.shape) * by).astype(kind)
    pair = [write_run(tmp_path / n, [{"w/x": v}], keep=(0,)) for n, v in (("a", a), ("b", b))]
    exact = distances(*pair)
    true = np.linalg.norm(a.astype("f8") - b.astype("f8")) / np.linalg.norm(a.astype("f8"))
    assert exact.exact.all()
    assert math.isclose(exact.values[0, 0], true, rel_tol=1e-9)
    (tmp_path / "a" / "snapshots" / "fit-1-0.h5").unlink()
    estimate = distances(*pair)
    assert not estimate.exact.any()
    assert abs(estimate.values[0, 0] / true - 1) < 0.3


def test_integer_weights_do_not_hide_the_others(tmp_path: Path) -> None:
    a = {"norm/mean": np.ones(50, "f4"), "norm/count": np.array(10_000, "int64")}
    b = a | {"norm/mean": np.full(50, 1.5, "f4")}
    pair = [write_run(tmp_path / n, [s]) for n, s in (("a", a), ("b", b))]
    assert 0.3 < distances(*pair).values[0, 0] < 0.7


def test_distance_from_zeros_is_absolute(tmp_path: Path) -> None:
    a, b = {"x/bias": np.zeros(50, "f4")}, {"x/bias": np.full(50, 2, "f4")}
    pair = [write_run(tmp_path / n, [s]) for n, s in (("a", a), ("b", b))]
    assert 0.7 < distances(*pair).values[0, 0] < 1.3


def test_weights_that_are_not_finite_have_no_distance(tmp_path: Path) -> None:
    odd = dict(A[2]) | {"layers/1/kernel": np.full((50, 300), np.nan, "f4")}
    pair = [write_run(tmp_path / "a", A[:3]), write_run(tmp_path / "b", [*A[:2], odd])]
    result = distances(*pair)
    assert np.isnan(result.values[1, 2])
    assert result.values[0, 2] == 0
    assert result.notes == (f"layers/1/kernel is not finite in {tmp_path / 'b'}",)
    assert json.dumps(compare(*pair).to_dict(), allow_nan=False)


def test_tensors_of_other_shapes_or_names_have_no_distance(tmp_path: Path) -> None:
    other = dict(START) | {"layers/1/kernel": np.zeros((3, 3), "f4"), "layers/9/kernel": np.ones(3, "f4")}
    pair = [write_run(tmp_path / "a", [START]), write_run(tmp_path / "b", [other])]
    result = distances(*pair)
    assert result.layers == (*LAYERS, "layers/9")
    assert np.isnan(result.values[:, 0]).tolist() == [False, True, False, True]


def test_end_is_a_column_if_it_differs_from_the_last_epoch(tmp_path: Path) -> None:
    pair = [write_run(tmp_path / n, A[:2], end=s) for n, s in (("a", A[3]), ("b", B[3]))]
    assert distances(*pair).epochs == ("start", "epoch 1", "end")


def test_runs_of_different_lengths_are_compared_at_common_epochs(tmp_path: Path) -> None:
    pair = [write_run(tmp_path / "a", A[:2]), write_run(tmp_path / "b", A)]
    # The final weights are compared, although one run trained for longer.
    assert distances(*pair).epochs == ("start", "epoch 1", "end")
    # Except if one was stopped early, as `verify` stops a diverged run.
    stopped = write_run(tmp_path / "e", A[:2], status="stopped")
    assert distances(stopped, pair[1]).epochs == ("start", "epoch 1")
    killed = write_run(tmp_path / "d", A[:2], status="killed")
    assert (distances(killed, pair[1]).epochs, distances(killed, pair[1]).complete) == (
        ("start", "epoch 1"),
        False,
    )
    late = write_run(tmp_path / "c", A, fit=1)
    assert distances(pair[0], late).epochs == ()
    assert distances(late, late).epochs == ("start", "epoch 1", "epoch 2", "epoch 3")


def test_sketches_of_another_ledger_are_refused(tmp_path: Path) -> None:
    pair = [write_run(tmp_path / n, s) for n, s in (("a", A), ("b", B))]
    (pair[1] / "sketches.bin").write_bytes((pair[0] / "sketches.bin").read_bytes())
    with pytest.raises(LedgerError, match=r"sketches.bin is not of this ledger: other weights at epoch 2$"):
        distances(*pair)
    # The verdict does not depend on it.
    result = compare(*pair)
    assert result.verdict == "diverged"
    assert result.how_far is None
    assert result.notes[-1].endswith("sketches.bin is not of this ledger: other weights at epoch 2")


def test_snapshot_that_does_not_match_the_ledger_is_ignored(tmp_path: Path) -> None:
    pair = [write_run(tmp_path / n, s, keep=(3,)) for n, s in (("a", A), ("b", B))]
    file = pair[1] / "snapshots" / "fit-1-3.h5"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    result = distances(*pair)
    assert result.notes == (f"{file} is not the recorded file: its digest differs",)
    assert not result.exact[0, 3]
    assert abs(result.values[0, 3] / true_of(A[3], B[3], "layers/0") - 1) < 0.3


def test_summary_covers_the_divergence_and_the_end(tmp_path: Path) -> None:
    far = summarize_distances(example_distances(tmp_path, keep=(2, 3)))
    assert far is not None
    assert (far.first.at, far.end.at) == ("epoch 2", "epoch 3")
    assert [layer.layer for layer in far.first.layers] == ["layers/1"]
    assert far.end.layers[0].layer == max(LAYERS, key=lambda n: true_of(A[3], B[3], n))
    expected = sorted((true_of(A[3], B[3], n) for n in LAYERS), reverse=True)
    assert np.allclose([layer.distance for layer in far.end.layers], expected, rtol=1e-9)
    lines = list(distance_lines(far))
    assert lines[0] == "distance where weights diverge, epoch 2: 1 of 3 layers"
    assert lines[1].endswith("  layers/1 (dense_1)")
    assert lines[2] == "distance at the end, epoch 3: 3 of 3 layers"
    assert max(map(len, lines)) <= 60
    assert summarize_distances(distances(tmp_path / "a", tmp_path / "a")) is None


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    name = "layers/\x1b[2J\u202e/kernel"
    pair = [write_run(tmp_path / n, [{name: START["layers/0/kernel"] * f}]) for n, f in (("a", 1), ("b", 2))]
    far = summarize_distances(distances(*pair))
    assert far is not None
    assert "\x1b" not in "".join(distance_lines(far))
    assert "\\x1b[2J\\u202e" in "".join(distance_lines(far))


def test_distances_of_other_versions_are_of_the_names_in_both(tmp_path: Path) -> None:
    """A version that names some variables otherwise hides the distances of no others."""
    renamed = [{n.replace("layers/1", "layers/1/inner"): a for n, a in s.items()} for s in B]
    headers = [{"environment": {"frameworks": {"keras": version}}} for version in ("3.15.1", "3.16.0")]
    pair = [
        write_run(tmp_path / name, states, keep=range(4), **header)
        for name, states, header in (("a", A, headers[0]), ("b", renamed, headers[1]))
    ]
    comparison = compare(*pair)
    assert comparison.divergence is not None
    assert (comparison.verdict, comparison.divergence.cause) == ("diverged", "environment")
    assert str(comparison.divergence.explanation).startswith(
        "other versions: Keras 3.15.1 and 3.16.0; different models: layers/1/kernel is in the first only"
    )
    found = comparison.distances
    assert found is not None
    known = dict(zip(found.layers, found.values[:, -1], strict=True))
    assert known["layers/0"] == pytest.approx(true_of(A[3], renamed[3], "layers/0"))
    assert np.isnan(known["layers/1"])
