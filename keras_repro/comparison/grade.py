"""Grade how well two runs agree: `bitwise`, `ulp`, `statistical` or `different`, with the reason.

    comparison = compare("runs/a", "runs/b")
    grade(comparison, *comparison.ledgers).name      # 'bitwise'

`ulp`: snapshots prove that each element of the final weights is within a bounded rounding distance. The
distance is measured in ULPs of the tensor's own scale (those of its largest element), since near zero a
negligible difference is millions of ULPs wide. The bound is one such ULP per training step, and at most half
of the significant bits (4,096 ULPs in float32, 16 in bfloat16). Each step stores a weight once, rounded by at
most half an ULP in each run. So runs that only round differently drift apart by one ULP per step, unless
something amplifies it. Numbers that share less than half of their digits differ by more than rounding.

`statistical`: the final results differ by no more than the seed alone makes, as `noise_floor` measures it.
"""

from __future__ import annotations

from collections.abc import Sequence

from keras_repro.comparison.distances.layer_distances import LayerDistances
from keras_repro.comparison.distances.summary import summarize_distances
from keras_repro.comparison.distances.tensor_distance import significand
from keras_repro.comparison.noise_floor import NoiseFloor, results_of
from keras_repro.comparison.result import Comparison, Grade
from keras_repro.errors import ReproError
from keras_repro.ledger.position_text import section_text
from keras_repro.ledger.reader import LedgerReader
from keras_repro.utils.text import escape_control_chars


def grade(
    comparison: Comparison, a: LedgerReader, b: LedgerReader, *, noise: Sequence[LedgerReader] = ()
) -> Grade:
    """Grade two compared runs.

    Args:
        comparison: the result of `compare`.
        a: the first run.
        b: the second run.
        noise: further runs of the same script with other seeds, at least three; empty for no noise floor.

    Raises:
        ReproError: the runs for the noise floor cannot be used.
    """
    floor = NoiseFloor.of(noise) if noise else None
    if comparison.verdict == "identical":
        return Grade("bitwise", f"all digests of {comparison.compared} records agree")
    if comparison.verdict == "incomparable" or comparison.divergence is None:
        return Grade("different", escape_control_chars(f"not comparable: {comparison.reason}"))
    divergence = comparison.divergence
    if divergence.ended is not None or divergence.structure is not None:
        return Grade("different", escape_control_chars(divergence.ended or divergence.structure or ""))
    distances = comparison.distances
    if distances is None:  # a note has the reason
        return Grade("different", f"{divergence.describe()}; the distance is unknown")
    if distances.complete and ((distances.values[:, -1] == 0) & distances.exact[:, -1]).all():
        what = section_text(divergence.section or divergence.kind)
        reason = f"the final weights are identical, but not the {what} {divergence.place()}"
    else:
        proof = _rounding(distances, a)
        if isinstance(proof, Grade):
            return proof
        reason = f"{_apart(distances)}; {proof}"
    if floor is None:
        return Grade("different", f"{reason}; no runs with other seeds (--noise)")
    return _by_noise(a, b, floor, reason)


def rounding_bound(dtype: str, steps: int | None) -> int:
    """Return how many ULPs of its own scale a tensor may differ by from rounding alone.

    Args:
        dtype: the tensor's dtype as TensorFlow names it; a difference of integers is never rounding.
        steps: the number of training steps; None if unknown.
    """
    bits = significand(dtype)
    if bits is None:
        return 0
    half = 1 << (bits // 2)
    return half if steps is None else min(max(steps, 1), half)


def _rounding(distances: LayerDistances, ledger: LedgerReader) -> Grade | str:
    """Return the grade `ulp` if snapshots prove it, else why they do not."""
    if not distances.complete:
        return "the runs do not end at the same place"
    unproven = 'no snapshots to prove rounding (keep="last")'
    tensors = distances.tensors.get(distances.epochs[-1])
    if tensors is None:
        return unproven
    steps = _steps(ledger)
    over = [t for t in tensors if t.scaled is None or t.scaled > rounding_bound(t.dtype, steps)]
    if over:
        worst = max(over, key=lambda t: float("inf") if t.scaled is None else t.scaled)
        name, most = escape_control_chars(worst.tensor), rounding_bound(worst.dtype, steps)
        if worst.scaled is None:
            return f"{name} differs by a value that is not finite"
        return f"{name} differs by {_count(worst.scaled)} of its ULPs; rounding explains at most {most:,}"
    if not distances.exact[:, -1].all():
        return unproven
    worst = max(tensors, key=lambda t: t.scaled or 0.0)
    most = rounding_bound(worst.dtype, steps)
    return Grade(
        "ulp",
        f"weights differ by at most {_count(worst.scaled or 0.0)} ULPs of their tensor's scale (most: "
        f"{escape_control_chars(worst.tensor)}); rounding explains {most:,}",
    )


def _by_noise(a: LedgerReader, b: LedgerReader, floor: NoiseFloor, apart: str) -> Grade:
    for ledger in (a, b):
        if ledger.status != "finished":
            raise ReproError(f"{ledger.path} did not finish: its results cannot be compared with the noise")
    verdicts = floor.judge(results_of(a), results_of(b))
    if not verdicts:
        return Grade("different", f"{apart}; the runs for the noise floor report no number that these do")
    name, worst = max(verdicts.items(), key=lambda item: item[1].share)
    by = f"{escape_control_chars(name)} differs by {worst.difference:.2g}"
    seeds = f"the {worst.floor:.2g} that the seed alone makes ({floor.runs} runs, 95%)"
    if all(verdict.within for verdict in verdicts.values()):
        return Grade("statistical", f"{by}, within {seeds}")
    return Grade("different", f"{by}, beyond {seeds}")


def _apart(distances: LayerDistances) -> str:
    summary = summarize_distances(distances)
    if summary is None:
        return "results differ, weights do not" if distances.epochs else "no place has weights of both runs"
    if not summary.end.layers:
        return f"weights differ from {summary.first.at} on and agree again at the end"
    largest = summary.end.layers[0]
    if largest.distance is None:
        return f"weights differ at {summary.end.at} by an unknown distance"
    about = "" if largest.exact else "about "
    return (
        f"{escape_control_chars(largest.layer)} differs by {about}{largest.distance:.2g} at {summary.end.at}"
    )


def _steps(ledger: LedgerReader) -> int | None:
    """Return the number of training steps; None if the ledger does not hold it."""
    steps, total = 0, 0
    for record in ledger.typed_records():
        if record.kind == "fit":
            recorded = (record.extra.get("arguments") or {}).get("steps")
            if not isinstance(recorded, int) or recorded < 1:
                return None
            steps = recorded
        elif record.kind == "epoch":
            total += steps
    return total or None


def _count(ulps: float) -> str:
    return f"{ulps:,.1f}" if ulps < 10 else f"{ulps:,.0f}" if ulps < 1e6 else f"{ulps:.1e}"
