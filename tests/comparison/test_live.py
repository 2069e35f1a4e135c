"""A run compared with a recorded one while it trains."""

import pytest
from ledger_builders import DIFFERENT_MODELS, KERNEL, changed, other_shapes, training, write

from keras_repro.comparison.compare import compare
from keras_repro.comparison.divergence import Divergence
from keras_repro.comparison.live import LiveComparison
from keras_repro.errors import LedgerError
from keras_repro.ledger.reader import open_ledger
from keras_repro.ledger.schema import Header
from keras_repro.ledger.writer import LedgerWriter


def live(reference, records, **header):
    comparison = LiveComparison(open_ledger(reference))
    return [comparison.check(r, Header(**({"coverage": "sm"} | header))) for r in records]


def linked(tmp_path, records, name="linked"):
    with LedgerWriter.create(tmp_path / name, Header(coverage="sm")) as ledger:
        return [ledger.append(r) for r in records]


def test_equal_records_have_no_divergence(tmp_path):
    reference = write(tmp_path / "reference", training())
    assert live(reference, linked(tmp_path, training())) == [None] * 7


def test_difference_is_found_at_its_record(tmp_path):
    reference = write(tmp_path / "reference", training())
    other = changed(training(), "epoch 0 1", "weights", KERNEL, "other")
    divergences = live(reference, linked(tmp_path, other)[:5])
    assert divergences[:4] == [None] * 4
    assert isinstance(divergences[4], Divergence)
    assert divergences[4] == compare(reference, tmp_path / "linked").divergence
    assert (divergences[4].epoch, divergences[4].tensor, divergences[4].keras_name) == (
        1,
        KERNEL,
        "sequential/dense/kernel",
    )


def test_shorter_reference_ends_the_comparison(tmp_path):
    reference = write(tmp_path / "reference", training(status="killed")[:4])
    records = linked(tmp_path, [*training(), *training(fit=1)])
    path = reference / "ledger.jsonl"
    with pytest.warns(UserWarning, match="^keras_repro") as warned:
        assert live(reference, records) == [None] * 14
    assert [str(w.message) for w in warned] == [
        f"keras_repro: the same until epoch 1/3, then the reference {path} ends: it was killed; "
        "later records are not compared"
    ]
    finished = write(tmp_path / "finished", training(epochs=2))
    divergences = live(finished, linked(tmp_path, training(epochs=3), "longer"))
    assert divergences[5].ended == "the same until epoch 2/2, then one fit ended and the other continued"


def test_fit_beyond_the_reference_is_not_compared(tmp_path):
    reference = write(tmp_path / "reference", [*training(), *training(fit=1)])
    records = linked(tmp_path, [*training(), *training(fit=1), *training(fit=2)])
    with pytest.warns(UserWarning, match=r"the same until the end of fit 2/2, .* ends: it finished; later"):
        assert live(reference, records) == [None] * 21


def test_another_model_diverges_by_configuration(tmp_path):
    reference = write(tmp_path / "reference", training())
    divergences = live(reference, linked(tmp_path, other_shapes())[:2])
    assert (divergences[1].cause, divergences[1].structure) == ("configuration", DIFFERENT_MODELS)


def test_incomparable_reference_is_refused(tmp_path):
    with pytest.raises(LedgerError, match="it has no record"):
        LiveComparison(open_ledger(write(tmp_path / "empty", [])))
    reference = write(tmp_path / "reference", training())
    with pytest.raises(
        LedgerError, match=r"cannot compare with .*: one run is observed and the other enforced"
    ):
        live(reference, linked(tmp_path, training()), mode="enforced")
    with pytest.raises(
        LedgerError, match=r"cannot compare with .*: their fingerprints cover different things"
    ):
        live(reference, linked(tmp_path, training(), "again"), coverage="smo")
