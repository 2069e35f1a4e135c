"""Fixes are checked against the lines that ran."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from keras_repro.root_cause.diagnosis_case import DiagnosisCase
from keras_repro.root_cause.evidence import Evidence
from keras_repro.root_cause.rules.applicable_fix import applicable_fix
from keras_repro.storage.divergence_report import Difference, DivergenceReport
from keras_repro.storage.trace_file import Interval, LineEvent, RecordEvent
from keras_repro.utils.source_line import SourceLine

SEED = "keras.utils.set_random_seed(42)  # first of all"
STATELESS = f"{SEED}, or tf.random.stateless_* with a seed of its own"
SEEDED_FIRST = ["keras.utils.set_random_seed(5)", "x = np.random.rand(3)"]
SEEDED_LAST = SEEDED_FIRST[::-1]


def fixed(
    folder: Path,
    code: list[str],
    fix: str,
    line: int,
    seeds: Mapping[str, Any] | None = None,
    *,
    times: int = 1,
) -> str | None:
    """Return the fix for a line of a script whose lines ran in order, and differ from line 2 on.

    Args:
        folder: gets the script.
        code: its lines.
        fix: the fix as it is proposed.
        line: the number of the line.
        seeds: the seeds that were set.
        times: how often each line ran.
    """
    path = folder / "train.py"
    path.write_text("\n".join(code))

    def events(digest: str) -> list[LineEvent]:
        return [
            LineEvent(
                file=str(path),
                line=number,
                digests={"np.random": digest},
                runs=tuple((10 * number + run, digest) for run in range(times)),
            )
            for number in range(1, len(code) + 1)
        ]

    # The state of NumPy's generator is the same after the seed only.
    first, second = events("a"), events("b")
    seeding = next((n for n, text in enumerate(code) if "seed(" in text), None)
    if seeding is not None:
        second[seeding] = first[seeding]
    differences: list[Difference[Any]] = [
        Difference(interval=0, event=event, reference=reference)
        for event, reference in zip(second, first, strict=True)
        if event != reference
    ]
    checked = RecordEvent(position="fit 0", record_kind="fit", tensors={}, seeds_set=seeds)
    report = DivergenceReport(interval=0, event=checked, reference=checked, differences=tuple(differences))
    traces = ([Interval(context=tuple(lines), checked=checked)] for lines in (first, second))
    case = DiagnosisCase(Evidence(first=next(traces), second=next(traces), report=report))
    return applicable_fix(case, fix, SourceLine(file=str(path), line=line, code=code[line - 1]))


def test_call_of_a_library_is_a_fix_after_another_call_of_that_name(tmp_path: Path) -> None:
    code = ["np.random.seed(5)", "state = env.reset()"]
    for fix in ("env.reset(seed=42)  # once, before this line", "Faker.seed(42)  # once, before this line"):
        assert fixed(tmp_path, code, fix, 2) == fix


def test_call_that_ran_before_is_no_fix(tmp_path: Path) -> None:
    assert fixed(tmp_path, SEEDED_FIRST, SEED, 2) is None
    assert fixed(tmp_path, SEEDED_FIRST, STATELESS, 2) == "tf.random.stateless_* with a seed of its own"
    generator = "tf.random.set_global_generator(tf.random.Generator.from_seed(42))  # first of all"
    assert fixed(tmp_path, SEEDED_FIRST, generator, 2) == generator


def test_call_that_ran_too_late_is_moved(tmp_path: Path) -> None:
    moved = "keras.utils.set_random_seed(5)  # move it up: train.py:2 runs after train.py:1"
    assert fixed(tmp_path, SEEDED_LAST, SEED, 1) == moved


def test_seed_that_is_drawn_becomes_a_constant(tmp_path: Path) -> None:
    code = ["seed = random.randrange(10**6)", "keras.utils.set_random_seed(seed)"]
    (tmp_path / "train.py").write_text("\n".join(code))
    at = str(tmp_path / "train.py")

    def trace(digest: str) -> list[Interval]:
        names = ({"seed": digest, "random": digest}, {"seed": digest, "random": digest})
        lines = (LineEvent(file=at, line=n, digests=d, runs=((n, digest),)) for n, d in enumerate(names, 1))
        return [Interval(context=tuple(lines), checked=None)]

    first, second = trace("a"), trace("b")
    event = RecordEvent(position="start 0", record_kind="start", tensors={})
    differences = tuple(
        Difference(interval=0, event=e, reference=r)
        for e, r in zip(second[0].context, first[0].context, strict=True)
    )
    report = DivergenceReport(interval=0, event=event, reference=event, differences=differences)
    case = DiagnosisCase(Evidence(first=first, second=second, report=report))
    source = SourceLine(file=at, line=1, code=code[0])
    assert applicable_fix(case, SEED, source) == "seed = 42"


@pytest.mark.parametrize(
    ("code", "seeds", "fix"),
    [
        ("x = np.random.rand(3)", {"keras": None, "tensorflow": None}, SEED),
        ("x = np.random.rand(3)", {"keras": 5, "tensorflow": 5}, None),
        ("x = tf.random.normal([3])", {"keras": None, "tensorflow": None}, SEED),
        ("x = tf.random.normal([3])", {"keras": None, "tensorflow": 5}, None),
        ("layer = Dropout(0.5)", {"keras": None, "tensorflow": 5}, SEED),
    ],
)
def test_seed_that_no_line_of_the_script_set_counts(
    tmp_path: Path, code: str, seeds: Mapping[str, Any], fix: str | None
) -> None:
    assert fixed(tmp_path, ["setup()", code], SEED, 2, seeds) == fix


def test_seed_of_numpy_alone_does_not_seed_keras(tmp_path: Path) -> None:
    draws = ["np.random.seed(5)", "x = np.random.rand(3)"]
    assert fixed(tmp_path, draws, SEED, 2) is None
    layer = ["np.random.seed(5)", "layer = Dropout(0.5)"]
    assert fixed(tmp_path, layer, SEED, 2) == SEED


def test_changed_line_and_advice_are_kept(tmp_path: Path) -> None:
    for fix in ("x = np.random.default_rng(42).random(3)", "take a constant in place of the clock"):
        assert fixed(tmp_path, SEEDED_FIRST, fix, 2) == fix


def test_seed_in_a_line_that_runs_again_is_drawn_from_the_generator_of_the_process(tmp_path: Path) -> None:
    code = ["keras.utils.set_random_seed(5)", "rng = np.random.default_rng()"]
    seeded = "rng = np.random.default_rng(42)"
    assert fixed(tmp_path, code, seeded, 2) == seeded
    drawn = "rng = np.random.default_rng(np.random.randint(2**31))"
    assert fixed(tmp_path, code, seeded, 2, times=2) == drawn
    # Without a seed of the process, that has to be set too.
    both = f"{drawn}  # with keras.utils.set_random_seed(42) first of all"
    assert fixed(tmp_path, ["x = 1", code[1]], seeded, 2, times=2) == both


def test_argument_of_a_call_that_runs_again_is_replaced_by_a_seed_first(tmp_path: Path) -> None:
    code = ["x = 1", "a, b = train_test_split(x)"]
    fix = "a, b = train_test_split(x, random_state=42)"
    assert fixed(tmp_path, code, fix, 2) == fix
    assert fixed(tmp_path, code, fix, 2, times=5) == SEED
    advice = "make a generator with a seed once, before the line runs, and draw each seed from it"
    assert fixed(tmp_path, ["keras.utils.set_random_seed(5)", code[1]], fix, 2, times=5) == advice


def test_draw_from_a_generator_of_the_process_needs_its_seed(tmp_path: Path) -> None:
    fix = "key = random.randbytes(4)"
    assert fixed(tmp_path, ["keras.utils.set_random_seed(5)", "key = os.urandom(4)"], fix, 2) == fix
    unseeded = fixed(tmp_path, ["x = 1", "key = os.urandom(4)"], fix, 2)
    assert unseeded == f"{fix}  # with keras.utils.set_random_seed(42) first of all"
