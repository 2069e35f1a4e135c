"""Verdicts on built ledgers: equal, different, and never claiming more than was compared."""

import json
import shutil
import tracemalloc

import ledger_builders
import pytest
from ledger_builders import (
    BIAS,
    DATA,
    DIFFERENT_MODELS,
    KERNEL,
    RATE,
    changed,
    exit_record,
    other_shapes,
    record,
    result,
    training,
    with_fields,
    write,
)

from keras_repro.comparison.compare import compare, compare_all
from keras_repro.errors import LedgerError
from keras_repro.ledger.reader import open_ledger

UNSEEN = "what was computed outside fit was not recorded"


@pytest.fixture
def versus(tmp_path):
    """Compare two lists of records."""

    def compare_records(a, b, *, same_script=False, a_header=None, b_header=None):
        left = write(tmp_path / "a", a, **(a_header or {}))
        right = write(tmp_path / "b", b, **(b_header or {}))
        return compare_all([left, right], same_script=same_script)

    return compare_records


# Identical runs.


def test_equal_runs_are_identical(versus, tmp_path):
    comparison = versus(training(), training())
    assert comparison.verdict == "identical"
    assert comparison.divergence is None
    assert comparison.reason is None
    assert comparison.notes == ()
    assert comparison.compared == 7
    assert comparison.covers == f"training; {UNSEEN}"
    fingerprint = open_ledger(tmp_path / "a").fingerprint
    assert [dict(r) for r in comparison.runs] == [
        {"ledger": str(tmp_path / n / "ledger.jsonl"), "fingerprint": fingerprint, "status": "finished"}
        for n in "ab"
    ]
    assert str(comparison) == f"identical: training; {UNSEEN}; fingerprint {fingerprint}"
    assert repr(comparison) == f"<Comparison {comparison}>"


def test_result_is_written_as_json(versus):
    base = training()
    data = versus(base, changed(base, "epoch 0 1", "weights", BIAS, "other")).to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert (data["format"], data["verdict"], data["compared"]) == (1, "diverged", 4)
    divergence = data["divergence"]
    assert {k: divergence[k] for k in ("kind", "fit", "epoch", "step", "section", "tensor", "cause")} == {
        "kind": "epoch",
        "fit": 0,
        "epoch": 1,
        "step": None,
        "section": "weights",
        "tensor": BIAS,
        "cause": "unknown",
    }
    assert divergence["tensors"] == [{"section": "weights", "tensor": BIAS}]
    assert set(data) == {
        *("format", "verdict", "runs", "divergence", "reason", "notes", "covers", "within", "compared"),
        *("how_far", "grade"),
    }


@pytest.mark.parametrize(
    ("after", "covers"),
    [
        ([], "training; evaluation and predictions were not computed outside fit"),
        ([result("evaluation")], "training and evaluation; predictions were not computed outside fit"),
        ([result("prediction")], "training and predictions; evaluation was not computed outside fit"),
        ([result("evaluation"), result("prediction")], "training, evaluation and predictions"),
    ],
)
def test_verdict_names_its_coverage(versus, after, covers):
    records = [*training(), *after, exit_record()]
    header = {"coverage": "smr"}
    comparison = versus(records, records, a_header=header, b_header=header)
    assert (comparison.verdict, comparison.covers) == ("identical", covers)


def test_equal_starts_are_identical_and_unfinished(versus):
    comparison = versus(training(epochs=0, status="killed")[:2], training(epochs=0, status="killed")[:2])
    assert comparison.verdict == "identical"
    assert comparison.covers == f"the start of a training; {UNSEEN}"
    assert comparison.runs[0]["fingerprint"].endswith("-partial")
    assert [n for n in comparison.notes if n.startswith("not finished: ")]


def test_state_at_exit_is_compared(versus):
    header = {"coverage": "smr"}
    records = [exit_record({"weights": {"model 0/layers/0/kernel": "x"}})]
    comparison = versus(records, records, a_header=header, b_header=header)
    assert comparison.verdict == "identical"
    assert comparison.covers.startswith("the models' state at exit; ")
    outside = exit_record({"weights": {"trained by hand 0/w": "x"}})
    comparison = versus([outside], [outside], a_header=header, b_header=header)
    assert comparison.covers.startswith("variables outside of models; ")
    records = [*training(), outside]
    comparison = versus(records, records, a_header=header, b_header=header)
    assert comparison.covers.startswith("training and variables outside of models; ")


# Never identical without a digest in common.


@pytest.mark.parametrize(
    "records",
    [
        [],
        training()[:1],
        [exit_record()],
        [exit_record(), exit_record()],
        [record("start", {}, fit=0), record("end", {}, fit=0, extra={"status": "finished"})],
    ],
    ids=["header only", "fit only", "nothing trained", "two exits", "models without state"],
)
def test_runs_without_common_records_are_incomparable(versus, records):
    comparison = versus(records, records)
    assert comparison.verdict == "incomparable"
    assert comparison.reason == "they have no record of a training in common"
    assert comparison.divergence is None


def test_run_with_only_a_header_is_incomparable(versus, tmp_path):
    for a, b, ended in ((training(), [], "b"), ([], training(), "a")):
        comparison = versus(a, b)
        assert comparison.verdict == "incomparable"
        assert (
            comparison.reason == f"{tmp_path / ended / 'ledger.jsonl'} has no record in common with the other"
        )


def test_observed_and_enforced_are_not_compared(versus):
    comparison = versus(training(), training(), b_header={"mode": "enforced"})
    assert comparison.verdict == "incomparable"
    assert comparison.reason == "one run is observed and the other enforced: two different trainings"
    assert comparison.compared == 0


def test_other_coverage_is_not_compared(versus):
    comparison = versus(training(), training(), b_header={"coverage": "smo"})
    assert comparison.verdict == "incomparable"
    assert comparison.reason == (
        "their fingerprints cover different things: only the second covers order of the training data"
    )
    comparison = versus(training(), training(), a_header={"coverage": "smr"}, b_header={"coverage": "smo"})
    assert comparison.reason == (
        "their fingerprints cover different things: only the first covers results computed outside fit; "
        "only the second covers order of the training data"
    )


def test_run_compared_with_itself_is_noted(tmp_path):
    """Comparing a run with itself or a copy shows nothing about reproducibility."""
    run = write(tmp_path / "a", training())
    shutil.copytree(run, tmp_path / "copy")
    path, copy = run / "ledger.jsonl", tmp_path / "copy" / "ledger.jsonl"
    note = "are the same recorded run: nothing was repeated"
    assert compare(run, run).notes == (f"{path} and {path} {note}",)
    assert compare(run, tmp_path / "copy").notes == (f"{path} and {copy} {note}",)


# The place of the difference.


@pytest.mark.parametrize(
    ("position", "section", "tensor", "place"),
    [
        ("start 0", "weights", KERNEL, "before the first epoch: initial weights differ, first in "),
        ("birth 0 0", "optimizer", RATE, "before the first epoch: the optimizer's state differs, first in "),
        ("epoch 0 0", "weights", KERNEL, "at epoch 1/3: weights differ, first in "),
        ("epoch 0 2", "optimizer", RATE, "at epoch 3/3: the optimizer's state differs, first in "),
        ("epoch 0 1", "seeds", "dropout/state", "at epoch 2/3: random state differs, first in "),
        ("epoch 0 1", "order", "order", "at epoch 2/3: the order of the data differs"),
        ("epoch 0 1", "metrics", "loss", "at epoch 2/3: metrics differ, weights do not, first in "),
        ("end 0", "weights", BIAS, "at the end: weights differ, first in "),
        ("evaluation 0", "results", "output", "in evaluation 1 (outside fit): results differ, first in "),
        ("prediction 1", "results", "output", "in prediction 2 (outside fit): results differ, first in "),
        ("exit", "weights", "model 1/k", "at the script's exit: weights differ, first in "),
    ],
)
def test_first_difference_is_located(versus, position, section, tensor, place):
    base = [*training(), result("evaluation"), result("prediction"), result("prediction", 1)]
    base.append(exit_record({"weights": {"model 1/k": "x"}}))
    header = {"coverage": "smr"}
    other = changed(base, position, section, tensor, "other")
    comparison = versus(base, other, a_header=header, b_header=header)
    assert comparison.verdict == "diverged"
    divergence = comparison.divergence
    assert (divergence.section, divergence.tensor) == (section, tensor)
    assert divergence.tensors == ({"section": section, "tensor": tensor},)
    kind, *numbers = position.split()
    assert divergence.kind == kind
    assert divergence.epoch == (int(numbers[1]) if kind == "epoch" else None)
    assert divergence.index == (int(numbers[0]) if kind in ("evaluation", "prediction") else None)
    assert divergence.describe().startswith(place)
    assert str(comparison) == f"diverged: {divergence.describe()}"
    assert comparison.compared == [r.position for r in base].index(position)


def test_all_differing_tensors_are_listed(versus):
    base = training()
    other = base
    for section, name in (("metrics", "loss"), ("optimizer", RATE), ("weights", BIAS), ("weights", KERNEL)):
        other = changed(other, "epoch 0 1", section, name, "other")
    divergence = versus(base, other).divergence
    listed = [(t["section"], t["tensor"]) for t in divergence.tensors]
    # Sections in the order of causes, tensors in the structure's.
    assert listed == [("weights", KERNEL), ("weights", BIAS), ("optimizer", RATE), ("metrics", "loss")]
    assert divergence.keras_name == "sequential/dense/kernel"
    assert f"first in {KERNEL} (sequential/dense/kernel) and 3 more" in divergence.describe()


def test_first_difference_counts(versus):
    base = training()
    other = changed(base, "epoch 0 2", "weights", BIAS, "late")
    other = changed(other, "epoch 0 1", "metrics", "loss", "early")
    divergence = versus(base, other).divergence
    assert (divergence.epoch, divergence.section) == (1, "metrics")


def test_section_that_only_one_run_has_diverges(versus):
    base = training()
    other = changed(base, "epoch 0 0", "seeds", "dropout/state", "moved")
    for a, b in ((base, other), (other, base)):
        divergence = versus(a, b).divergence
        assert (divergence.section, divergence.tensor, divergence.cause) == (
            "seeds",
            "dropout/state",
            "random_state",
        )


def test_divergence_in_a_later_fit_names_the_fit(versus):
    base = [*training(), *training(fit=1)]
    comparison = versus(base, changed(base, "epoch 1 0", "weights", KERNEL, "other"))
    assert (comparison.divergence.fit, comparison.divergence.epoch, comparison.divergence.fits) == (1, 0, 2)
    assert comparison.divergence.describe().startswith("at epoch 1/3 of fit 2/2: weights differ")


def test_first_of_several_fits_is_named(versus):
    """People count fits from 1, as they count epochs; of several, the first is named too."""
    base = [*training(), *training(fit=1)]
    comparison = versus(base, changed(base, "start 0", "weights", KERNEL, "other"))
    assert (comparison.divergence.fit, comparison.divergence.epoch) == (0, None)
    assert comparison.divergence.describe().startswith(
        "before the first epoch of fit 1/2: initial weights differ"
    )


# Different models.


def test_different_models_are_incomparable(versus):
    comparison = versus(training(), other_shapes())
    assert comparison.verdict == "incomparable"
    assert comparison.reason == DIFFERENT_MODELS
    assert comparison.divergence is None
    assert str(comparison) == f"incomparable: {DIFFERENT_MODELS}"


def test_different_models_of_one_script_have_diverged(versus):
    comparison = versus(training(), other_shapes(), same_script=True)
    assert comparison.verdict == "diverged"
    assert comparison.divergence.cause == "configuration"
    assert comparison.divergence.structure == DIFFERENT_MODELS
    assert comparison.divergence.describe() == f"before the first epoch: {DIFFERENT_MODELS}"


OLD, NEW = ({"environment": {"frameworks": {"tensorflow": t, "keras": k}}} for t, k in ("ab", "ac"))


def test_other_versions_come_before_what_follows_from_them(versus):
    """Names, settings and bits may follow from the versions: they are reported after these."""
    versions = "other versions: Keras b and c"
    base = training(configuration={"layers": [["Dense", {}]]})
    bits = changed(base, "epoch 0 0", "weights", BIAS, "other")
    settings = changed(
        training(configuration={"layers": [["Dense", {"new": 1}]]}), "epoch 0 0", "weights", BIAS, "other"
    )
    more = [r for r in base if r.position != "birth 0 0"]
    found = [
        versus(base, other, a_header=OLD, b_header=NEW) for other in (bits, settings, other_shapes(), more)
    ]
    assert [(c.verdict, c.divergence.cause) for c in found] == [("diverged", "environment")] * 4
    assert [c.divergence.explanation for c in found[:3]] == [
        versions,
        f"{versions}; configuration layers 0 1 new (None and 1) differs",
        f"{versions}; {DIFFERENT_MODELS}",
    ]
    assert found[2].divergence.describe() == f"before the first epoch: {versions}; {DIFFERENT_MODELS}"
    assert found[3].divergence.explanation.startswith(f"{versions}; after ")
    # Other data are the program's own difference.
    data = versus(training(data=DATA), training(data=DATA | {"digest": "f" * 32}), a_header=OLD, b_header=NEW)
    assert (data.verdict, data.notes) == (
        "identical",
        ("the data given to fit differs, without effect on what was compared (latent)", versions),
    )
    moved = changed(training(data=DATA | {"digest": "f" * 32}), "epoch 0 0", "weights", BIAS, "other")
    divergence = versus(training(data=DATA), moved, a_header=OLD, b_header=NEW).divergence
    assert (divergence.cause, divergence.explanation) == (
        "data_order",
        f"{versions}; the data has the same samples in another order",
    )


def test_unused_generator_in_one_run_is_no_other_model(versus):
    """An unused generator, such as the one of `keras.random`, does not hide the cause."""
    base = training()
    other = changed(base, "start 0", "weights", KERNEL, "other")
    shapes = dict(base[1].shapes) | {"global_seed_generator/state": ["uint32", [2], ""]}
    latent = {"seeds": {"global_seed_generator/state": "0" * 32}}
    comparison = versus(base, with_fields(other, "start 0", shapes=shapes, latent=latent))
    assert (comparison.verdict, comparison.divergence.cause) == ("diverged", "initial_weights")


def test_additional_record_in_one_run_is_a_divergence(versus, tmp_path):
    base = training()
    for position in ("birth 0 0", "epoch 0 0"):
        other = [r for r in base if r.position != position]
        assert versus(base, other).verdict == "incomparable"
        assert (
            compare_all([tmp_path / "a", tmp_path / "b"], same_script=True).divergence.cause
            == "configuration"
        )


def test_result_that_only_one_run_computed_is_a_divergence(versus):
    a = [*training(), result("evaluation"), exit_record()]
    b = [*training(), exit_record()]
    comparison = versus(a, b, same_script=True)
    structure = "after the end, one continues with evaluation 1, the other with the script's exit"
    assert comparison.divergence.structure == structure


# One run shorter than the other.


@pytest.mark.parametrize(
    ("kept", "status", "place", "how"),
    [
        (5, "killed", "epoch 2/4", "it was killed"),
        (6, "killed", "epoch 3/4", "it was killed"),
        (4, "killed", "epoch 1/4", "it was killed"),
        (2, "killed", "the start", "it was killed"),
        (1, "killed", "the start", "it was killed"),
    ],
)
def test_killed_run_diverges_at_its_end(versus, tmp_path, kept, status, place, how):
    base = training(epochs=4)
    for a, b, name in ((base, base[:kept], "b"), (base[:kept], base, "a")):
        comparison = versus(a, b)
        assert comparison.verdict == "diverged"
        assert comparison.compared == kept
        path = tmp_path / name / "ledger.jsonl"
        assert comparison.divergence.ended == f"the same until {place}, then {path} ends: {how}"
        assert comparison.divergence.describe() == comparison.divergence.ended
        assert (comparison.divergence.cause, comparison.divergence.tensors) == ("unknown", ())


def test_further_fit_in_one_run_is_a_divergence(versus, tmp_path):
    comparison = versus([*training(), *training(fit=1)], training())
    path = tmp_path / "b" / "ledger.jsonl"
    assert comparison.divergence.ended == f"the same until the end of fit 1/2, then {path} ends: it finished"
    assert (comparison.divergence.fit, comparison.divergence.epoch) == (1, None)


def test_stopped_fit_diverges_at_its_last_epoch(versus, tmp_path):
    whole = training(epochs=4)
    # The state at the end is that of the last epoch recorded.
    for status, how, cause in (("stopped", "was stopped", "unknown"), ("finished", "ended", "configuration")):
        short = with_fields([*whole[:5], training(epochs=2)[-1]], "end 0", extra={"status": status})
        for a, b in ((whole, short), (short, whole)):
            comparison = versus(a, b)
            assert comparison.verdict == "diverged"
            assert (
                comparison.divergence.ended
                == f"the same until epoch 2/4, then one fit {how} and the other continued"
            )
            assert (comparison.divergence.cause, comparison.divergence.epoch) == (cause, 2)


def test_incomplete_last_line_is_noted(versus, tmp_path):
    write(tmp_path / "c", training())
    path = tmp_path / "c" / "ledger.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    comparison = compare(write(tmp_path / "d", training()), tmp_path / "c")
    assert comparison.verdict == "diverged"
    assert comparison.divergence.ended == f"the same until epoch 3/3, then {path} ends: it was killed"
    assert comparison.notes == (f"{path}: the last line is incomplete and is ignored",)


def test_two_unfinished_runs_may_be_identical(versus, tmp_path):
    comparison = versus(training(status="killed"), training(status="killed"))
    assert comparison.verdict == "identical"
    paths = ", ".join(str(tmp_path / n / "ledger.jsonl") for n in "ab")
    assert comparison.notes == (f"not finished: {paths}; equal as far as recorded",)
    assert comparison.runs[0]["fingerprint"].endswith("-partial")


# Notes.


def with_latent(records, text):
    latent = {
        "seeds": {"layers/1/seed_generator/state": ledger_builders.digest(text)},
        "metric variables": {"accuracy/total": ledger_builders.digest(text)},
        "process generators": {
            "numpy": ledger_builders.digest(text),
            "python": ledger_builders.digest("same"),
        },
        "{0.kind}": {"{}": ledger_builders.digest(text)},
    }
    return with_fields(records, "start 0", latent=latent)


NOTES = (
    "seed generator layers/1/seed_generator/state differs but was never used: without effect (latent)",
    "metric variable accuracy/total differs by values left from before: without effect",
    "the process's own generator (numpy) differs: without effect so far (latent)",
    "{0.kind} {} differs",
)


def test_latent_differences_are_notes(versus):
    comparison = versus(with_latent(training(), "one"), with_latent(training(), "other"))
    assert comparison.verdict == "identical"
    assert comparison.notes == NOTES


def test_latent_value_of_only_one_run_is_noted(versus):
    comparison = versus(training(), with_latent(training(), "other"))
    assert comparison.verdict == "identical"
    assert len(comparison.notes) == 4
    assert comparison.notes[0] == NOTES[0]


def test_latent_notes_are_omitted_if_the_runs_diverge(versus):
    """An unseeded generator may be the cause, so it is not noted as without effect."""
    other = changed(training(), "epoch 0 0", "weights", KERNEL, "other")
    comparison = versus(with_latent(training(), "one"), with_latent(other, "other"))
    assert comparison.verdict == "diverged"
    assert comparison.notes == ()


def test_logs_added_by_a_callback_are_noted(versus):
    a = with_fields(training(), "epoch 0 1", added={"clock": 1.0, "lr": 0.1})
    b = with_fields(training(), "epoch 0 1", added={"clock": 2.0, "lr": 0.1})
    comparison = versus(a, b)
    assert comparison.verdict == "identical"
    assert comparison.notes == ("log clock, added by a callback, differs: not part of the chain",)


def test_runs_that_agree_by_chance_are_noted(versus):
    """The workers draw from one generator in an order that may change; after a divergence it is no news."""
    data = {"kind": "PyDataset", "order": "not ours", "workers": 4, "shared_generators": ["self.rng"]}
    records = training(data=data)
    comparison = versus(records, records)
    assert comparison.verdict == "identical"
    assert [n for n in comparison.notes if n.startswith("agreed by chance")] == [
        "agreed by chance: 4 workers draw from one generator (self.rng), in an order that may change. Make "
        "each batch from (seed, epoch, index) alone, or use workers=1"
    ]
    diverged = versus(records, changed(records, "epoch 0 0", "weights", KERNEL, "other"))
    assert not any(n.startswith("agreed by chance") for n in diverged.notes)
    damaged = training(data=data | {"workers": "4", "shared_generators": [7]})
    assert not any(n.startswith("agreed by chance") for n in versus(damaged, damaged).notes)


def test_recorded_limits_of_a_run_are_noted(versus):
    records = [*training(), exit_record(unsupported=["tf_keras"], unobserved=1)]
    records = with_fields(
        records, "epoch 0 0", extra={"stateful_random_operations": ["dropout/RandomUniform"]}
    )
    records = with_fields(records, "fit 0", extra={"notes": ["EarlyStopping after DeterminismCallback"]})
    comparison = versus(records, records, a_header={"coverage": "smr"}, b_header={"coverage": "smr"})
    assert comparison.verdict == "identical"
    assert comparison.notes == (
        "EarlyStopping after DeterminismCallback",
        "the training step contains a stateful random operation (dropout/RandomUniform), "
        "whose hidden counter is not recorded",
        "tf_keras was trained too, which is not supported yet: not recorded",
        "a forked process trained too: not recorded",
    )


def test_environment_differences_are_noted(versus):
    header = {"environment": {"packages": {"keras": "3.15.1"}, "cpu": {"model": "old"}}}
    other = {"environment": {"packages": {"keras": "3.16.0"}, "cpu": {"model": "new"}}}
    comparison = versus(training(), training(), a_header=header, b_header=other)
    assert comparison.verdict == "identical"
    assert comparison.notes == (
        "CPU model differs: old and new (not expected to be identical: these are not portable runs)",
        "keras differs: 3.15.1 and 3.16.0",
    )


def test_fields_outside_the_chain_change_no_verdict(versus):
    """Paths, times and keys of a newer version do not change a verdict."""
    other = with_fields(training(), "epoch 0 1", extra={"seconds": 9, "newer": {}}, metrics={"loss": 0.0})
    header = {"version": "9", "seed": 1, "command": {"script": "x"}, "extra": {"site": 1}}
    comparison = versus(training(), other, b_header=header)
    assert (comparison.verdict, comparison.notes) == ("identical", ())


# Ledgers of untrusted origin.

HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\ud800\n\u200b"


def test_hostile_text_is_escaped(versus):
    a = [training()[0], record("start", {"weights": {HOSTILE: "1"}}, fit=0)]
    b = [training()[0], record("start", {"weights": {HOSTILE: "2"}}, fit=0)]
    shapes = ["float32", [1], HOSTILE + "\x9b"]
    comparison = versus(
        with_fields(a, "start 0", shapes={HOSTILE: shapes}),
        with_fields(b, "start 0", shapes={HOSTILE: shapes}),
    )
    assert comparison.divergence.tensor == HOSTILE
    for text in (str(comparison), repr(comparison), comparison.divergence.describe()):
        assert text.isprintable()
        assert r"\x1b]0;owned\x07\x1b[2J\u202egnp.exe\ud800\x0a\u200b" in text
    json.dumps(comparison.to_dict()).encode("ascii")


def test_hostile_structure_and_sections_are_printable(versus, tmp_path):
    a = [
        training()[0],
        record("start", {HOSTILE: {HOSTILE: "1"}}, fit=0, shapes={HOSTILE: [HOSTILE, [], ""]}),
    ]
    b = [training()[0], record("start", {HOSTILE: {HOSTILE: "2"}}, fit=0, shapes={HOSTILE: [3, [None], ""]})]
    comparison = versus(a, b)
    assert comparison.verdict == "incomparable"
    assert str(comparison).isprintable()
    again = compare_all([tmp_path / "a", tmp_path / "b"], same_script=True)
    assert again.divergence.describe().isprintable()


@pytest.mark.parametrize(
    "extra",
    [
        {"arguments": 5, "configuration": [], "data": "x", "seeds_set": 7, "notes": 5},
        {"arguments": {"epochs": "many"}, "data": {"kind": [], "digest": {}}, "seeds_set": {"keras": []}},
        {"arguments": None, "configuration": None, "data": None, "seeds_set": None, "notes": [1, {}]},
    ],
)
@pytest.mark.parametrize("position", ["start 0", "epoch 0 0", "end 0"])
def test_fields_of_any_type_have_a_verdict(versus, extra, position):
    """What is not in the chain may be of any type: there is still a verdict."""
    header = {"environment": {"packages": 5, "cpu": [], "gpu": {"model": 1}}, "switches": ({"name": []},)}
    limits = {"stateful_random_operations": 5, "unsupported": {}, "unobserved": [], "status": 3}
    base = with_fields(with_fields(training(), "fit 0", extra=extra), "start 0", extra=limits)
    other = changed(training(), position, "weights", KERNEL, "other")
    comparison = versus(base, other, a_header=header)
    assert (comparison.divergence.kind, comparison.divergence.section) == (position.split()[0], "weights")
    assert str(comparison).startswith("diverged: ")
    assert versus(base, base, a_header=header).verdict == "identical"


def test_damaged_ledger_has_no_verdict(tmp_path):
    good, bad = write(tmp_path / "a", training()), write(tmp_path / "b", training())
    path = bad / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    # Damage after the divergence is found too.
    path.write_bytes(b"".join([*lines[:-1], lines[-1].replace(b"finished", b"finishes")]))
    with pytest.raises(LedgerError, match=r"b/ledger.jsonl is damaged at line 8"):
        compare(good, bad)
    with pytest.raises(LedgerError, match="holds no ledger"):
        compare(good, tmp_path)


# More than two runs.


def test_one_of_three_runs_diverges(tmp_path):
    base = training()
    runs = [base, base, changed(base, "epoch 0 1", "weights", KERNEL, "other")]
    paths = [write(tmp_path / f"run-{n}", records) for n, records in enumerate(runs, start=1)]
    comparison = compare_all(paths)
    assert comparison.verdict == "diverged"
    assert comparison.divergence.epoch == 1
    assert [r["ledger"] for r in comparison.runs] == [str(p / "ledger.jsonl") for p in paths]
    assert comparison.notes == ("run 3 diverged from run 1; run 2 did not",)


def test_earliest_difference_of_three_runs_counts(tmp_path):
    base = training()
    runs = [base]
    runs.append(changed(base, "epoch 0 2", "weights", KERNEL, "late"))
    runs.append(changed(base, "epoch 0 0", "weights", BIAS, "early"))
    comparison = compare_all([write(tmp_path / str(n), records) for n, records in enumerate(runs)])
    assert (comparison.divergence.epoch, comparison.divergence.tensor, comparison.compared) == (0, BIAS, 3)


def test_difference_from_the_first_run_is_enough(tmp_path):
    base = training()
    other = changed(base, "start 0", "weights", KERNEL, "other")
    comparison = compare_all([write(tmp_path / str(n), r) for n, r in enumerate((base, other, other))])
    assert comparison.verdict == "diverged"
    assert comparison.notes == ()


def test_three_equal_runs_are_identical(tmp_path):
    comparison = compare_all([write(tmp_path / str(n), training()) for n in range(3)])
    assert (comparison.verdict, len(comparison.runs), comparison.notes) == ("identical", 3, ())


def test_one_of_three_runs_may_be_incomparable(tmp_path):
    """The verdict on the other runs does not hide it."""
    paths = [write(tmp_path / "a", training()), write(tmp_path / "b", training())]
    paths.append(write(tmp_path / "c", training(), mode="enforced"))
    assert compare_all(paths).verdict == "incomparable"


def test_large_ledgers_are_not_held_in_memory(tmp_path):
    """400 epochs of 200 tensors, some 6 MB a file: each is read line by line."""
    tensors = {"weights": {f"layers/{i}/kernel": str(i) for i in range(200)}}
    first = record("epoch", tensors, fit=0, epoch=0)
    records = [with_fields([first], "epoch 0 0", epoch=e)[0] for e in range(400)]
    paths = [write(tmp_path / name, records) for name in "ab"]
    assert sum((p / "ledger.jsonl").stat().st_size for p in paths) > 8_000_000
    tracemalloc.start()
    try:
        comparison = compare(*paths)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (comparison.verdict, comparison.compared) == ("identical", 400)
    assert peak < 6_000_000  # two buffers of a megabyte, and a few records
