"""How well two runs agree, in a word and with its reason: `bitwise`, `ulp`, `statistical` or `different`.

    grade(compare("runs/a", "runs/b"), "runs/a", "runs/b").name      # 'bitwise'

`ulp`: snapshots prove that each element of the weights is at the end within a bounded rounding distance. The
distance is measured in ULPs of the tensor's own scale (those of its largest element), since near zero a
difference of no weight is millions of ULPs wide. The bound is one such ULP for each step of the training, and
no more than half of the digits: each step stores a weight once, rounded by at most half an ULP in each of the
two runs, so that runs which only round differently drift apart by one ULP a step as long as nothing amplifies
it; and of numbers that share less than half of their digits, nobody would say that rounding is all that
differs (4,096 ULPs in float32, 16 in bfloat16).

`statistical`: the numbers that the runs report in the end differ by no more than seeds alone make, as
`noise_floor` measures it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from keras_repro.comparison.distances.layer_distances import LayerDistances, distances
from keras_repro.comparison.distances.summary import how_far
from keras_repro.comparison.distances.tensor_distance import ExactDistance, significand
from keras_repro.comparison.divergence import Divergence
from keras_repro.comparison.noise_floor import NoiseFloor, results_of
from keras_repro.comparison.result import Comparison, Grade
from keras_repro.errors import LedgerError, ReproError
from keras_repro.ledger.position_text import section_in_words
from keras_repro.ledger.reader import LedgerReader, open_ledger
from keras_repro.utils.text import escape_control_chars


def grade(
    comparison: Comparison,
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    *,
    noise: Sequence[str | os.PathLike[str]] = (),
) -> Grade:
    """Grades two runs that were compared.

    Args:
        comparison: what `compare` found.
        a: the first run.
        b: the other one.
        noise: further runs of the same script with other seeds, at least three; none where no noise floor
            was measured.

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
    found = comparison.distances
    if found is None:
        try:
            found = distances(a, b, places="ends")
        except LedgerError as error:
            return Grade("different", f"{divergence.describe()}; not known how far: {error}")
    files = open_ledger(a), open_ledger(b)
    rounding = _rounding(found, files[0], divergence)
    if isinstance(rounding, Grade):
        return rounding
    text = rounding if rounding.startswith("weights agree") else f"{_apart(found)}; {rounding}"
    if floor is None:
        return Grade("different", f"{text}; no runs with other seeds (--noise)")
    return _by_noise(files, floor, text)


def rounding_bound(dtype: str, steps: int | None) -> int:
    """How many ULPs of its own scale a tensor may differ in by rounding alone.

    Args:
        dtype: of the tensor, as TensorFlow names it; of whole numbers, no difference is rounding.
        steps: how many steps the training made, None where that is not known.
    """
    bits = significand(dtype)
    if bits is None:
        return 0
    half = 1 << (bits // 2)
    return half if steps is None else min(max(steps, 1), half)


def _rounding(found: LayerDistances, file: LedgerReader, divergence: Divergence) -> Grade | str:
    """The grade `ulp` where snapshots prove it, else why they do not."""
    if not found.epochs or not found.complete:
        return "not both have the same end"
    end = found.epochs[-1]
    if ((found.values[:, -1] == 0) & found.exact[:, -1]).all():
        what = section_in_words(divergence.section or divergence.kind)
        return f"weights agree to the bit in the end, but not the {what} {divergence.place()}"
    unproven = 'no snapshots of it to prove rounding (keep="last")'
    if end not in found.tensors:
        return unproven
    steps = _steps(file)
    judged = [(_bounded(t, steps), t) for t in found.tensors[end]]
    over = [t for within, t in judged if not within]
    if over:
        worst = max(over, key=lambda t: float("inf") if t.scaled is None else t.scaled)
        ulps = "not finite apart" if worst.scaled is None else f"{_count(worst.scaled)} of its ULPs apart"
        most = rounding_bound(worst.dtype, steps)
        return f"{escape_control_chars(worst.tensor)} is {ulps}, where rounding explains {most:,}"
    if not found.exact[:, -1].all():
        return unproven
    worst = max((t for _, t in judged), key=lambda t: t.scaled or 0.0)
    most = rounding_bound(worst.dtype, steps)
    return Grade(
        "ulp",
        f"no weight is more than {_count(worst.scaled or 0.0)} ULPs of its tensor's scale apart (most: "
        f"{escape_control_chars(worst.tensor)}), where rounding explains {most:,}",
    )


def _bounded(tensor: ExactDistance, steps: int | None) -> bool:
    return tensor.scaled is not None and tensor.scaled <= rounding_bound(tensor.dtype, steps)


def _by_noise(files: tuple[LedgerReader, LedgerReader], floor: NoiseFloor, apart: str) -> Grade:
    unfinished = [f for f in files if f.status != "finished"]
    if unfinished:
        raise ReproError(f"{unfinished[0].path} did not finish: its results cannot be judged by noise")
    judged = floor.judge(*map(results_of, files))
    if not judged:
        return Grade("different", f"{apart}; they report no number that the runs for the noise floor do")
    name, worst = max(judged.items(), key=lambda item: item[1].share)
    by = f"{escape_control_chars(name)} differs by {worst.difference:.2g}"
    seeds = f"the {worst.floor:.2g} that seeds alone make ({floor.runs} runs, 95%)"
    if all(one.within for one in judged.values()):
        return Grade("statistical", f"{by}, within {seeds}")
    return Grade("different", f"{by}, beyond {seeds}")


def _apart(found: LayerDistances) -> str:
    known = how_far(found)
    if known is None:
        return "results differ, weights do not" if found.epochs else "no weights were recorded of both"
    largest = known.end.layers[0] if known.end.layers else None
    if largest is None:
        return f"weights differ from {known.parting.at} on and agree again in the end"
    if largest.distance is None:
        return f"weights differ at {known.end.at}, it is not known how far"
    how = "" if largest.exact else "about "
    return f"{escape_control_chars(largest.layer)} is {how}{largest.distance:.2g} apart at {known.end.at}"


def _steps(file: LedgerReader) -> int | None:
    """How many steps the training made; None where its ledger does not say."""
    steps, total = 0, 0
    for record in file.typed_records():
        if record.kind == "fit":
            given = (record.extra.get("arguments") or {}).get("steps")
            if not isinstance(given, int) or given < 1:
                return None
            steps = given
        elif record.kind == "epoch":
            total += steps
    return total or None


def _count(ulps: float) -> str:
    return f"{ulps:,.1f}" if ulps < 10 else f"{ulps:,.0f}" if ulps < 1e6 else f"{ulps:.1e}"
