"""Some rules of a diagnosis: their explanations with and without constructed evidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keras_repro.root_cause.evidence import Evidence
from keras_repro.root_cause.explanation import Explanation
from keras_repro.root_cause.rules.engine import explain
from keras_repro.storage.divergence_report import (
    Difference,
    DivergenceReport,
    LayerDescription,
    ReplayReport,
    StateEvidence,
)
from keras_repro.storage.trace_file import (
    BatchEvent,
    CallEvent,
    CheckedEvent,
    EntropyEvent,
    FitEvent,
    Interval,
    LineEvent,
    RecordEvent,
    StepBeginEvent,
    StepEndEvent,
    StepPosition,
    ThreadLineEvent,
    VariableEvent,
    WeightsEvent,
)
from keras_repro.utils.source_line import SourceLine

IN_LOOP = StepPosition(-1, 0, 3)


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "train.py"
    path.write_text("seed = secrets.randbelow(9)\nlayer = Noise(seed)\nmodel.evaluate(x)\nthread.start()\n")
    return str(path)


def source(script: str, line: int) -> SourceLine:
    return SourceLine(file=script, line=line, code=Path(script).read_text().splitlines()[line - 1])


def explained(
    event: CheckedEvent, reference: CheckedEvent, *differences: Difference[Any], **report: Any
) -> Explanation:
    trace = [Interval(context=(), checked=reference)]
    divergence = DivergenceReport(
        interval=0, event=event, reference=reference, differences=differences, **report
    )
    return explain(Evidence(first=trace, second=trace, report=divergence))


def evaluation(loss: str) -> RecordEvent:
    return RecordEvent(position="evaluation 0", record_kind="evaluation", tensors={"metrics": {"loss": loss}})


def step_end(digest: str, position: StepPosition) -> StepEndEvent:
    return StepEndEvent(position=position, tensors={"weights": {"k": digest}})


def test_evaluation_with_another_seed_is_explained_by_random_state(script: str) -> None:
    variable = VariableEvent(
        name="noise/seed_generator_state", digest="a", layer="Noise", source=source(script, 2), is_seed=True
    )
    difference = Difference(interval=0, event=variable, reference=replace(variable, digest="b"))
    explanation = explained(evaluation("a"), evaluation("b"), difference)
    assert (explanation.cause, explanation.layer_class) == ("random_state", "Noise")
    assert explanation.source == source(script, 2)
    assert explained(evaluation("a"), evaluation("b")).cause == "operation"


def test_weights_changed_before_an_evaluation_are_reported() -> None:
    event, reference = (WeightsEvent(method="evaluate", digest=digest) for digest in "ab")
    difference = Difference(interval=0, event=event, reference=reference)
    explanation = explained(evaluation("a"), evaluation("b"), difference)
    assert explanation.cause == "configuration"
    assert explanation.sentence == "weights were changed outside of the training, before the evaluation"


@pytest.mark.parametrize(
    ("epochs", "sentence", "subject"),
    [
        (7, "arguments epochs is 7 in one run and 3 in the other", "arguments epochs"),
        (None, "one run makes a fit that the other does not make", "the fits of the script"),
    ],
)
def test_different_settings_are_named_as_what_differs(
    script: str, epochs: int | None, sentence: str, subject: str
) -> None:
    event, reference = (
        FitEvent(
            position="fit 0", data=None, validation_data=None, configuration=None, arguments={"epochs": count}
        )
        for count in (epochs, 3)
    )
    difference = Difference(interval=0, event=event if epochs else None, reference=reference)
    explanation = explained(
        evaluation("a"), RecordEvent(position="start 0", record_kind="start", tensors={}), difference
    )
    assert (explanation.cause, explanation.sentence) == ("configuration", sentence)
    assert explanation.subject == subject


def test_threads_that_train_the_same_weights_are_reported(script: str) -> None:
    event, reference = (BatchEvent(position=IN_LOOP, parts={"0": digest}) for digest in "ab")
    batch = Difference(interval=0, event=event, reference=reference)
    ends = step_end("a", IN_LOOP), step_end("b", IN_LOOP)
    threads = (source(script, 4),)
    explanation = explained(*ends, batch, evidence=StateEvidence(stepping_threads=2), threads=threads)
    assert (explanation.cause, explanation.sentence) == (
        "environment",
        "2 threads train the same weights, in an order that changes from run to run",
    )
    assert explanation.source is not None
    assert explanation.source.code == "thread.start()"
    assert explanation.ruled_out == ()
    assert explained(*ends, batch, threads=threads).cause == "data_values"


def test_threads_that_train_later_are_counted_if_one_was_running(script: str) -> None:
    """The processes may diverge before the second thread makes its first step."""
    event, reference = (BatchEvent(position=IN_LOOP, parts={"0": digest}, threads=1) for digest in "ab")
    batch = Difference(interval=0, event=event, reference=reference)
    ends = step_end("a", IN_LOOP), step_end("b", IN_LOOP)
    threads = (source(script, 4),)

    def cause(later: int, running: tuple[SourceLine, ...]) -> str:
        rest = BatchEvent(position=StepPosition(-1, 0, 4), parts={"0": "c"}, threads=later)
        first = [Interval(context=(reference,), checked=ends[1]), Interval(context=(rest,), checked=None)]
        second = [Interval(context=(event,), checked=ends[0])]
        report = DivergenceReport(
            interval=0, event=ends[0], reference=ends[1], differences=(batch,), threads=running
        )
        return explain(Evidence(first=first, second=second, report=report)).cause

    assert cause(2, threads) == "environment"
    assert cause(1, threads) == "data_values"  # such as one that loads the data
    assert cause(2, ()) == "data_values"  # the threads start after the divergence


@pytest.mark.parametrize(
    ("text", "considered"),
    [("x = clock()\n", False), ("x = {a for a in b}\n", True), ("x = hash(a)\n", True)],
)
def test_hash_seed_is_considered_only_if_the_code_depends_on_hashes(
    tmp_path: Path, text: str, considered: bool
) -> None:
    path = tmp_path / "train.py"
    path.write_text(text)
    position = StepPosition(0, 0, 1)
    line, reference_line = (
        LineEvent(file=str(path), line=1, digests={"x": digest}, runs=((1, digest),)) for digest in "ab"
    )
    event, reference = step_end("a", position), step_end("b", position)
    trace = [Interval(context=(line,), checked=reference)]
    report = DivergenceReport(
        interval=0,
        event=event,
        reference=reference,
        differences=(Difference(interval=0, event=line, reference=reference_line),),
    )
    explanation = explain(
        Evidence(
            first=trace,
            second=trace,
            report=report,
            third=DivergenceReport(interval=0, event=reference, diverged=False),
            hash_seeds_differ=True,
        )
    )
    same = "a further run, with the hash seed of the first, was identical to the first"
    assert (same in explanation.evidence) is considered


def test_step_whose_replay_differs_is_explained_by_an_operation() -> None:
    position = StepPosition(0, 0, 1)
    replay = ReplayReport(faithful=False, agrees=False, agrees_drawing_on=False)
    evidence = StateEvidence(replay=replay)
    explanation = explained(step_end("a", position), step_end("b", position), evidence=evidence)
    assert (explanation.cause, explanation.sentence) == ("operation", "an operation does not repeat itself")
    assert explanation.ruled_out == ("the state before the step was the same", "the batch was the same")
    assert explanation.evidence[:2] == ("1 tensor differs: k", "digests of k: b and a")


UNSEEDED = """
x = np.random.rand(9, 2)
model = keras.Sequential([keras.layers.Dense(3, kernel_initializer=START)])
model.fit(x)
"""


@pytest.mark.parametrize(("is_unseeded", "line", "also"), [(True, 3, [2]), (False, 2, [])])
def test_line_that_draws_the_seed_comes_before_the_line_of_the_data(
    tmp_path: Path, is_unseeded: bool, line: int, also: list[int]
) -> None:
    path = tmp_path / "train.py"
    path.write_text(UNSEEDED.replace("START", "'he_normal'" if is_unseeded else "Constant(x[0])"))
    at = {number: SourceLine(file=str(path), line=number) for number in (3, 4)}

    def line_event(number: int, digest: str, *names: str) -> LineEvent:
        digests = dict.fromkeys(names, digest)
        return LineEvent(file=str(path), line=number, digests=digests, runs=((number, digest),))

    def events(digest: str) -> list[Any]:
        # Also the second line draws a seed: perhaps for another initializer.
        names = ("random",) if is_unseeded else ("random", "x")
        return [
            line_event(2, digest, "x", "np.random"),
            line_event(3, digest, *names),
            VariableEvent(
                name="dense/kernel", digest=digest, layer="Dense", source=at[3], is_unseeded=is_unseeded
            ),
            FitEvent(
                position="fit 0",
                data={"digest": digest * 12},
                validation_data=None,
                configuration=None,
                arguments=None,
            ),
        ]

    event, reference = (
        RecordEvent(position="start 0", record_kind="start", tensors={"weights": {"layers/0/kernel": d}})
        for d in "ab"
    )
    call = CallEvent(method="fit", source=at[4])
    differences = [
        Difference(interval=0, event=e, reference=r) for e, r in zip(events("a"), events("b"), strict=True)
    ]
    report = DivergenceReport(interval=0, event=event, reference=reference, differences=tuple(differences))
    first = [Interval(context=(*events("b"), call), checked=reference)]
    second = [Interval(context=(*events("a"), call), checked=event)]
    explanation = explain(Evidence(first=first, second=second, report=report))
    assert explanation.cause == "initial_weights"
    assert explanation.source is not None
    assert explanation.source.line == line
    assert [further.source.line for further in explanation.also] == also
    assert [further["source"]["line"] for further in explanation.to_dict()["also"]] == also


@pytest.mark.parametrize(
    ("left", "right", "subject"),
    [
        ({"x['a']": "1", "x['b']": "2", "y": "3"}, {"x['a']": "1", "x['b']": "7", "y": "3"}, "x['b']"),
        ({"x[0]": "1", "x[1]": "2", "y": "3"}, {"x[0]": "8", "x[1]": "7", "y": "4"}, "x and y"),
        ({"x": "1", "sample_weight": "2"}, {"x": "1", "sample_weight": "3"}, "sample_weight"),
        ({}, {}, "the data"),
    ],
)
def test_arguments_that_differ_are_the_subject(left: Any, right: Any, subject: str) -> None:
    reference, event = (
        FitEvent(
            position="fit 0",
            data={"digest": digest * 12, "parts": parts},
            validation_data=None,
            configuration=None,
            arguments=None,
        )
        for digest, parts in (("a", left), ("b", right))
    )
    explanation = explained_step(event, reference)
    assert (explanation.cause, explanation.subject) == ("data_values", f"{subject} given to fit")


@pytest.mark.parametrize(
    ("left", "right", "subject"),
    [
        ({"0['a']": "1", "0['b']": "2", "1": "3"}, {"0['a']": "9", "0['b']": "2", "1": "3"}, "inputs['a']"),
        ({"0[0]": "1", "0[1]": "2"}, {"0[0]": "9", "0[1]": "8"}, "inputs"),
        ({"0": "1", "1": "2", "2": "3"}, {"0": "1", "1": "9", "2": "8"}, "labels and sample weights"),
    ],
)
def test_parts_of_a_batch_that_differ_are_the_subject(left: Any, right: Any, subject: str) -> None:
    position = StepPosition(0, 0, 0)
    reference, event = (BatchEvent(position=position, parts=parts) for parts in (left, right))
    assert explained_step(event, reference).subject == f"{subject} of the batch"


@pytest.mark.parametrize(
    ("path", "line"),
    [("optimizer", 2), ("layers", 1)],
)
def test_line_of_a_setting_is_that_of_its_own_object(tmp_path: Path, path: str, line: int) -> None:
    """The data that is drawn in line 3 differs too."""
    script = tmp_path / "train.py"
    script.write_text(
        "layer = Dropout(os.urandom(1)[0] / 999)\n"
        "optimizer = SGD(os.urandom(1)[0] / 999)\n"
        "x = np.random.default_rng().normal(size=9)\n"
        "model.fit(x)\n"
    )
    file = str(script)
    at = {number: SourceLine(file=file, line=number, code="") for number in (1, 2, 4)}

    def line_event(number: int, digest: str, name: str) -> LineEvent:
        return LineEvent(file=file, line=number, digests={name: digest}, runs=((number, digest),))

    def events(digest: str) -> list[Any]:
        rate = {"rate": digest}
        configuration = {"layers": [["Dropout", rate]]} if path == "layers" else {"optimizer": ["SGD", rate]}
        names = {1: "layer", 2: "optimizer", 3: "x"}
        return [
            *(line_event(number, digest, names[number]) for number in (3, 1, 2)),
            FitEvent(
                position="fit 0",
                data={"digest": digest * 12},
                validation_data=None,
                configuration=configuration,
                arguments=None,
            ),
        ]

    event, reference = (
        RecordEvent(position="start 0", record_kind="start", tensors={"optimizer": {"optimizer/rate": d}})
        for d in "ab"
    )
    call = CallEvent(method="fit", source=at[4])
    differences = [
        Difference(interval=0, event=e, reference=r) for e, r in zip(events("a"), events("b"), strict=True)
    ]
    evidence = StateEvidence(
        owners={"optimizer": LayerDescription(source=at[2])},
        layers={"layers/0": LayerDescription(name="layers/0", layer_class="Dropout", source=at[1])},
    )
    report = DivergenceReport(
        interval=0, event=event, reference=reference, differences=tuple(differences), evidence=evidence
    )
    first = [Interval(context=(*events("b"), call), checked=reference)]
    second = [Interval(context=(*events("a"), call), checked=event)]
    explanation = explain(Evidence(first=first, second=second, report=report))
    assert explanation.cause == "configuration"
    assert explanation.source is not None
    assert explanation.source.line == line
    assert [further.source.line for further in explanation.also] == [3]


@pytest.mark.parametrize(
    ("step", "results", "cause"),
    [
        (0, {}, "initial_weights"),
        # Later, the script changed them between two steps.
        (1, {"results": {"steps": "2"}}, "configuration"),
    ],
)
def test_weights_set_before_a_custom_loop_are_initial_ones(step: int, results: Any, cause: str) -> None:
    weights = [{"weights": {"layers/0/kernel": digest}} for digest in "ab"]
    loops = [RecordEvent(position="loop 0", record_kind="loop", tensors=w | results) for w in weights]
    assert explained(*loops).cause == cause
    steps = [StepBeginEvent(position=StepPosition(-1, 0, step), tensors=w) for w in weights]
    assert explained(*steps).cause == cause


def test_generator_that_was_used_another_number_of_times_is_named() -> None:
    state = "layers/1/seed_generator/state"
    dropout = LayerDescription(name="layers/1", layer_class="Dropout")
    seeds = [{"seeds": {state: digest, f"{state} at the start": "c"}} for digest in "ab"]
    ends = [RecordEvent(position="epoch 0 0", record_kind="epoch", tensors=tensors) for tensors in seeds]
    explanation = explained(*ends, evidence=StateEvidence(owners={state: dropout}))
    assert (explanation.cause, explanation.sentence, explanation.variable) == (
        "random_state",
        "the seed generator of Dropout was used a different number of times",
        state,
    )
    # If the weights differ too, the draws may be a consequence.
    both = [replace(e, tensors=t | {"weights": {"k": d}}) for e, t, d in zip(ends, seeds, "ab", strict=True)]
    assert explained(*both).cause == "configuration"


def explained_step(event: Any, reference: Any) -> Explanation:
    """Return the explanation of a first step that differs, as a context event before it does."""
    position = StepPosition(0, 0, 0)
    difference = Difference(interval=0, event=event, reference=reference)
    return explained(step_end("b", position), step_end("a", position), difference)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("c", "the step got other samples of the same data"),
        ("new", "the step got other values"),  # such as the same sample with other noise
    ],
)
def test_samples_are_of_the_same_data_only_if_they_occur_in_it(row: str, sentence: str) -> None:
    here, later = StepPosition(0, 0, 0), StepPosition(0, 0, 1)
    event, reference, rest = (
        BatchEvent(position=position, parts={"0": digest}, rows=rows)
        for position, digest, rows in (
            (here, "1", ("a", "b", row)),
            (here, "2", ("a", "b", "d")),
            (later, "3", ("c", "e", "f")),
        )
    )
    ends = step_end("1", here), step_end("2", here)
    first = [Interval(context=(reference,), checked=ends[1]), Interval(context=(rest,), checked=None)]
    report = DivergenceReport(
        interval=0,
        event=ends[0],
        reference=ends[1],
        differences=(Difference(interval=0, event=event, reference=reference),),
        evidence=StateEvidence(remaining_rows=(("c", "e"),) if row != "c" else (("e", "d"),)),
    )
    explanation = explain(Evidence(first=first, second=first, report=report))
    assert (explanation.sentence, explanation.subject) == (sentence, "inputs of the batch")


def test_only_drawing_line_in_threads_is_named_if_its_draws_come_in_the_same_order(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text("rows = order[number]\nnoise = np.random.normal(size=3)\nreturn x[rows] + noise\n")
    position = StepPosition(0, 0, 0)

    def trace(*numbers: str) -> list[Interval]:
        values = {1: numbers, 2: ("n", "m"), 3: numbers}
        events = [
            ThreadLineEvent(
                file=str(path), line=line, runs=tuple((i, {"v": v}) for i, v in enumerate(values[line], 1))
            )
            for line in values
        ]
        batch = BatchEvent(position=position, parts={"0": numbers[0]}, rows=numbers)
        end = step_end(numbers[0], position)
        return [Interval(context=(*events, batch), checked=end)]

    first, second = trace("a", "b"), trace("b", "a")
    report = DivergenceReport(
        interval=0,
        event=step_end("b", position),
        reference=step_end("a", position),
        differences=(Difference(interval=0, event=second[0].context[-1], reference=first[0].context[-1]),),
        evidence=StateEvidence(remaining_rows=(("x", "y"),)),
    )
    explanation = explain(Evidence(first=first, second=second, report=report))
    assert explanation.source is not None
    assert explanation.source.code == "noise = np.random.normal(size=3)"


@pytest.mark.parametrize(
    ("way", "fix"),
    [
        ({"call": "create", "argument": "sampler=Random(seed=42)"}, "s = create(sampler=Random(seed=42))"),
        (
            {"call": "create", "argument": "sampler=studies.Random(seed=42)"},
            "s = create(sampler=studies.Random(seed=42))  # with import studies first of all",
        ),
        (
            {"call": "create", "argument": "rstate=np.random.default_rng(42)"},
            "s = create(rstate=np.random.default_rng(42))  # with import numpy as np first of all",
        ),
        ({"call": "Random", "argument": "seed=42"}, "make its Random with seed=42"),
        ({"seeding": "s.reset(seed=42)"}, "s = create(); s.reset(seed=42)"),
    ],
)
def test_object_with_a_generator_is_fixed_where_it_is_made(
    tmp_path: Path, way: dict[str, str], fix: str
) -> None:
    file = tmp_path / "train.py"
    file.write_text("from studies import Random, create\ns = create()\nx = s.suggest()\nmodel.fit(x)\n")
    made = source(str(file), 2)
    asked, known = (EntropyEvent(source=source(str(file), 3), digest=d, made=made, **way) for d in "ab")
    # The object asks for the system's randomness also where it is made: for its name.
    named, reference = (EntropyEvent(source=made, digest=digest) for digest in "cd")
    explanation = explained(
        step_end("a", IN_LOOP),
        step_end("b", IN_LOOP),
        Difference(interval=0, event=named, reference=reference),
        Difference(interval=0, event=asked, reference=known),
    )
    assert (explanation.source, explanation.fix) == (made, fix)
