"""Diagnoses on a terminal and in a pipe: the answer is at the end."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from keras_repro.report.console.diagnosis import print_explanation
from keras_repro.report.console.terminal import make_console
from keras_repro.root_cause.explanation import Explanation, FurtherSource
from keras_repro.root_cause.fix_trial import FixTrial
from keras_repro.utils.source_line import SourceLine

SEED = "keras.utils.set_random_seed(42)  # first of all"
MODEL = "model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(8), keras.layers.Dense(1)])"
WEIGHTS = Explanation(
    cause="initial_weights",
    sentence="no seed was set with Keras for the initializers",
    place="fit 1, the start",
    layer="layers/0",
    layer_class="Dense",
    variable="layers/0/kernel",
    source=SourceLine(file="/w/train.py", line=4, code=MODEL),
    evidence=("2 tensors differ: layers/0/kernel, layers/1/kernel",),
    ruled_out=("the batch was the same",),
    fix=SEED,
    also=(
        FurtherSource(source=SourceLine(file="/w/train.py", line=3, code="x = np.random.rand(9)"), fix=SEED),
    ),
)


class Terminal(io.StringIO):
    """A file that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def printed(explanation: Explanation, file: io.StringIO | None = None) -> list[str]:
    file = file or io.StringIO()
    print_explanation(explanation, make_console(file))
    return file.getvalue().splitlines()


def test_output_ends_on_cause_line_and_fix() -> None:
    assert printed(WEIGHTS) == [
        "evidence:",
        "  - 2 tensors differ: layers/0/kernel, layers/1/kernel",
        "ruled out:",
        "  - the batch was the same",
        "where:   fit 1, the start",
        "what:    Dense layers/0, layers/0/kernel",
        "cause:   initial_weights: no seed was set with Keras for the initializers",
        f"line:    /w/train.py:4: {MODEL}",
        f"fix:     {SEED}",
        "also:    /w/train.py:3: x = np.random.rand(9)",
    ]


def test_answer_fits_the_last_five_rows_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    rows = printed(WEIGHTS, Terminal())[-5:]
    assert all(len(row) <= 80 for row in rows)
    assert [row.partition(":")[0] for row in rows] == ["what", "cause", "line", "fix", "also"]
    assert rows[2] == f"line:    /w/train.py:4: {MODEL}"[:77] + "..."


def test_trial_of_the_fix_is_the_last_row_of_five(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    place = "fit 1, epoch 1, before the first step"
    verified = FixTrial(result="verified", reason=f"two runs with it agree up to {place}", trainings=2)
    also = (*WEIGHTS.also, *WEIGHTS.also)
    rows = printed(replace(WEIGHTS, fix_tried=verified, also=also), Terminal())
    assert all(len(row) <= 80 for row in rows[-5:])
    assert [row.partition(":")[0] for row in rows[-6:]] == ["also", "cause", "line", "fix", "also", "tried"]
    assert rows[-1] == f"tried:   verified: two runs with it agree up to {place}"[:77] + "..."
    in_words = FixTrial(result="not applicable", reason="the fix is not a change of code")
    assert printed(replace(WEIGHTS, fix_tried=in_words)) == printed(WEIGHTS)


def test_further_source_has_its_own_fix() -> None:
    (further,) = WEIGHTS.also
    fixed = FurtherSource(source=further.source, fix="x = rng.random(9)")
    (*_, last) = printed(Explanation(cause="initial_weights", fix=SEED, also=(fixed,)))
    assert last == "also:    /w/train.py:3: x = np.random.rand(9) (fix: x = rng.random(9))"


def test_subject_comes_before_the_tensor_that_differs_first() -> None:
    data = Explanation(cause="data_values", subject="y given to fit", variable="layers/0/bias")
    assert "what:    y given to fit" in printed(data)
    assert data.to_dict()["variable"] == "layers/0/bias"


def test_what_is_not_known_is_said() -> None:
    assert printed(Explanation(cause="unknown")) == [
        "where:   not found",
        "what:    not found",
        "cause:   unknown",
        "line:    not found",
        "fix:     none known",
    ]
