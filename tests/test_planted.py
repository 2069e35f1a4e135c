"""The planted causes: a sample of them, the expectations of the scripts, and the scorer itself."""

import ast
import json
from collections import Counter
from dataclasses import replace

import pytest
from planted import score
from planted.score import HERE, Case, Result, cases, place_is_right, read_case

# As varied as the whole suite.
SAMPLE = (
    "augmentation/after_warm_up",
    "callbacks/annealed_penalty",
    "clean/generator_never_drawn",
    "clean/ordered_threads",
    "configuration/rate_and_weights",
    "dropout/shared_layer",
    "hash/hashing_trick",
    "initialization/data_and_weights",
    "initialization/new_head_reseeded",
    "libraries/maze_resets",
    "operation/gradient_noise",
    "shuffling/fit_shuffles",
    "shuffling/own_trainer",
)
SOURCES = [
    "augmentation",
    "callbacks",
    "clean",
    "configuration",
    "dropout",
    "hash",
    "initialization",
    "libraries",
    "operation",
    "shuffling",
    "split",
    "system",
    "threads",
]
CAUSES = {
    "initial_weights",
    "data_order",
    "data_values",
    "random_state",
    "operation",
    "configuration",
    "environment",
    "unknown",
}


@pytest.fixture(scope="module")
def run():
    with score.launcher() as run:
        yield run


@pytest.mark.parametrize("name", SAMPLE)
def test_sampled_cases_are_explained(run, name):
    result = run(read_case(name))
    assert not result.contradicts_ledgers
    assert result.found, result.error
    if score.EXPLAIN and not result.case.clean:
        assert result.cause_right, result.divergence
        assert result.place_right, result.divergence
        assert result.fix_right, result.divergence


def test_each_source_has_enough_cases():
    counted = Counter(case.name.partition("/")[0] for case in cases())
    assert sorted(counted) == SOURCES
    assert all(number >= (15 if source == "clean" else 4) for source, number in counted.items()), counted


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_expectation_of_each_script_is_sound(case):
    known = {"cause", "place", "file", "fix", "also", "why"}
    data = json.loads(case.script.with_suffix(".json").read_text())
    assert set(data) <= ({"clean", "why"} if case.clean else known)
    assert case.why.endswith(".")
    if case.clean:
        assert case.name.startswith("clean/")
        return
    assert case.causes
    assert set(case.causes) <= CAUSES
    assert case.place
    assert set(case.place) <= {"line", "layer", "variable"}
    texts = [(case.script.parent / name).read_text() for name in case.files]
    for fragment in (*case.place.get("line", ()), *case.also):
        matches = [line for text in texts for line in text.splitlines() if fragment in line]
        assert len(matches) == 1, (fragment, matches)


def test_scripts_do_not_mention_the_package():
    for path in HERE.glob("*/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.startswith("keras_repro") for name in names), path


CASE = Case(
    name="shuffling/fit_shuffles",
    clean=False,
    causes=("data_order",),
    place={"line": ("layers.BatchNormalization(",), "layer": ("Dense", "layers/1"), "variable": ("kernel",)},
    files=("fit_shuffles.py",),
    why="",
)
LINE = 1 + CASE.script.read_text().splitlines().index("h = keras.layers.BatchNormalization()(h)")


@pytest.mark.parametrize(
    ("divergence", "right"),
    [
        ({}, False),
        ({"source": f"fit_shuffles.py:{LINE}: h = ..."}, True),
        ({"source": f"/tmp/x/fit_shuffles.py:{LINE}: h = ..."}, True),
        ({"source": f"fit_shuffles.py:{LINE + 1}: h = ..."}, False),
        ({"source": f"other.py:{LINE}: h = ..."}, False),
        ({"source": {"file": "fit_shuffles.py", "line": LINE, "code": ""}}, True),
        ({"source": {"file": "fit_shuffles.py", "line": 10_000}}, False),
        ({"source": None, "layer": "layers/1"}, True),
        ({"layer": "layers/10"}, False),
        ({"layer": "layers/2 (Dense)"}, True),
        ({"layer": "layers/2 (DenseNet)"}, False),
        ({"variable": "layers/2/kernel"}, True),
        ({"tensor": "layers/2/kernel"}, True),
        ({"tensor": "layers/2/kernels"}, False),
    ],
)
def test_place_is_judged(divergence, right):
    assert place_is_right(divergence, CASE) is right


def test_statement_over_several_lines_is_one_place():
    case = read_case("dropout/lstm_recurrent")
    lines = case.script.read_text().splitlines()
    last = 1 + lines.index("    recurrent_initializer=Orthogonal(seed=6),")
    first = 1 + lines.index("hidden = layers.LSTM(")
    for line, right in ((first, True), (last, True), (first - 1, False), (last + 3, False)):
        assert place_is_right({"source": {"file": case.script.name, "line": line}}, case) is right


def test_score_fails_if_a_case_is_missed_or_a_false_alarm(capsys):
    right = Result(case=CASE, code=1, divergence={"cause": "data_order"}, error="", seconds=1.0)
    clean = replace(right, case=replace(CASE, clean=True), code=0, divergence={})
    assert score._summary([right, clean]) == (1 if score.EXPLAIN else 0)  # its place is wrong
    good = replace(right, divergence={"cause": "data_order", "layer": "Dense"})
    assert score._summary([good, clean]) == 0
    assert score._summary([replace(good, code=0), clean]) == 1
    assert score._summary([replace(good, code=2), clean]) == 1
    assert score._summary([good, replace(clean, code=1)]) == 1
    output = capsys.readouterr().out
    assert "found         0/1" in output
    assert "false alarms  1/1" in output


def test_fix_and_further_sources_are_judged():
    case = replace(CASE, fix=("seed=42",), also=("x = draw",))
    also = [{"source": {"code": "x = draw()"}, "fix": None}]
    divergence = {"fix": "f(seed=42)", "diagnosis": {"also": also}}
    result = Result(case=case, code=1, divergence=divergence, error="", seconds=1.0)
    assert result.fix_right
    assert not replace(result, divergence=divergence | {"fix": None}).fix_right
    assert not replace(result, divergence=divergence | {"diagnosis": {"also": []}}).fix_right


def test_trials_of_fixes_are_scored(monkeypatch, capsys):
    monkeypatch.setattr(score, "EXPLAIN", ("--explain",))

    def tried(result):
        trial = {"result": result, "reason": "why", "trainings": 2}
        divergence = {"cause": "data_order", "layer": "Dense", "diagnosis": {"fix_tried": trial}}
        return Result(case=CASE, code=1, divergence=divergence, error="", seconds=1.0)

    verified, race, diverged, in_words = map(
        tried, ("verified", "not seen again", "still diverges", "not applicable")
    )
    good = [verified] * 8 + [race]
    assert score._summary([*good, diverged, in_words], tried=True) == 0
    assert score._summary([*good, diverged, diverged], tried=True) == 1
    assert score._summary([*good, *[in_words] * 4], tried=True) == 1
    output = capsys.readouterr().out
    assert "applicable fix 10/11 (91%, bar 75%)" in output
    assert "verified when tried 9/10 (90%, bar 90%)" in output
    assert "applicable fix 9/13 (69%, bar 75%)" in output


def test_cause_must_not_contradict_the_ledgers(monkeypatch, capsys):
    monkeypatch.setattr(score, "EXPLAIN", ("--explain",))

    def result(recorded):
        divergence = {"cause": "data_order", "layer": "Dense", "diagnosis": {"recorded_cause": recorded}}
        return Result(case=CASE, code=1, divergence=divergence, error="", seconds=1.0)

    assert score._summary([result("unknown"), result("data_order")]) == 0
    assert "contradicts the ledgers 0/2 (bar 0)" in capsys.readouterr().out
    assert score._summary([result("unknown"), result("configuration")]) == 1
    assert "contradicts the ledgers 1/2 (bar 0)" in capsys.readouterr().out


def test_score_fails_below_the_bars(monkeypatch, capsys):
    monkeypatch.setattr(score, "EXPLAIN", ("--explain",))
    good = Result(
        case=CASE, code=1, divergence={"cause": "data_order", "layer": "Dense"}, error="", seconds=1.0
    )
    other_cause = replace(good, divergence={"cause": "unknown", "layer": "Dense"})
    other_place = replace(good, divergence={"cause": "data_order", "layer": "Conv2D"})
    assert score._summary([good] * 19 + [other_cause]) == 0
    assert score._summary([good] * 18 + [other_cause]) == 1
    assert score._summary([good] * 17 + [other_place] * 3) == 0
    assert score._summary([good] * 16 + [other_place] * 3) == 1
    assert "place right   16/19 (84%, bar 85%)" in capsys.readouterr().out
