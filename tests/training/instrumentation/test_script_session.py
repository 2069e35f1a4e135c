"""The record of a script that calls Keras in many ways."""

from __future__ import annotations

from typing import Any

import pytest

TRAINS = "import keras\nfrom small import X, Y, build\nkeras.utils.set_random_seed(1)\n"


@pytest.fixture
def positions(launched: Any, written: Any) -> Any:
    """Return a function that runs lines after the usual imports and returns the records' positions."""

    def run(lines: str) -> list[str]:
        child = launched(written(TRAINS + lines))
        assert child.outcome.code == 0, child.output
        return [record.position for record in child.ledger.typed_records()]

    return run


def test_all_ways_to_call_fit_are_recorded(launched: Any) -> None:
    child = launched("many_calls.py")
    assert child.outcome.code == 0, child.output
    records = list(child.ledger.typed_records())
    assert [r.fit for r in records if r.kind == "fit"] == [0, 1, 2, 3, 4, 5, 6]
    assert [(r.fit, r.epoch) for r in records if r.kind == "epoch"] == [
        (0, 0),
        (1, 0),
        (1, 1),
        (2, 0),
        (3, 0),
        (4, 0),
        (5, 0),
        (6, 0),
    ]
    assert [r.extra["status"] for r in records if r.kind == "end"] == ["finished"] * 7
    fits = [r.extra for r in records if r.kind == "fit"]
    assert [f["data"]["kind"] for f in fits] == ["arrays"] * 5 + ["tf.data", "iterator"]
    assert fits[1]["arguments"] == {
        "epochs": 2,
        "steps": 3,
        "batch_size": 32,
        "validation_split": 0.25,
        "shuffle": False,
        "epochs_requested": 2,
        "steps_requested": 3,
    }
    assert [f.get("frozen_shuffle", False) for f in fits] == [True, False, True, True, True, False, False]
    assert not [f["notes"] for f in fits if f["notes"]]
    assert [(r.kind, r.index) for r in records if r.fit is None] == [
        ("evaluation", 0),
        ("evaluation", 1),
        ("prediction", 0),
        ("prediction", 1),
        ("exit", None),
    ]
    whole, batch = (r for r in records if r.kind == "evaluation")
    assert set(whole.metrics) == {"loss", "accuracy"} == set(batch.metrics)
    assert whole.extra["data"]["samples"] == 96
    assert fits[0]["data"]["digest"] == whole.extra["data"]["digest"]
    assert not records[-1].tensors


def test_evaluation_inside_fit_is_not_recorded_twice(positions: Any) -> None:
    assert positions(
        "class Inner(keras.callbacks.Callback):\n"
        "    def on_epoch_end(self, epoch, logs=None):\n"
        "        self.model.evaluate(X, Y, verbose=0)\n        self.model.predict(X, verbose=0)\n"
        "build().fit(X, Y, validation_data=(X, Y), callbacks=[Inner()], verbose=0)\n"
    ) == ["fit 0", "start 0", "birth 0 0", "epoch 0 0", "end 0", "exit"]


def test_results_of_evaluate_and_predict_are_recorded(launched: Any, written: Any) -> None:
    child = launched(
        written(
            TRAINS + "model = build()\nmodel.evaluate(X, Y, verbose=0, return_dict=True)\n"
            "model.evaluate(X, Y, verbose=0)\nmodel.evaluate(X[:50], Y[:50], verbose=0)\n"
            "model.predict(X, verbose=0)\nmodel.predict(x=X, verbose=0)\nmodel.predict(X[1:], verbose=0)\n"
        )
    )
    *results, last = child.ledger.typed_records()
    assert [r.position for r in results] == [f"evaluation {i}" for i in range(3)] + [
        f"prediction {i}" for i in range(3)
    ]
    assert results[0].metrics == results[1].metrics
    assert results[1].sections != results[2].sections
    assert results[3].sections == results[4].sections
    assert results[4].sections != results[5].sections
    # The state of a model without a fit is recorded at the exit.
    assert list(last.tensors["weights"])[:2] == ["model 0/layers/0/bias", "model 0/layers/0/kernel"]


def test_train_on_batch_loops_are_recorded(positions: Any) -> None:
    assert positions(
        "a, b = build(), build()\n"
        "for _ in range(3):\n    a.train_on_batch(X[:9], Y[:9])\n    b.train_on_batch(X[:9], Y[:9])\n"
        "a.fit(X, Y, verbose=0)\n"
    ) == [
        # Before the first step, its new slots, and after it; then after 2 steps and after all steps.
        *("loop 0", "birth 0", "loop 0", "loop 1", "birth 1", "loop 1"),
        *["loop 0", "loop 1"] * 2,
        *("fit 0", "start 0", "epoch 0 0", "end 0", "exit"),
    ]


def test_untrained_model_is_compared_at_the_exit(launched: Any) -> None:
    child = launched("custom_loop.py", "tape", "seeded")
    (record,) = child.ledger.typed_records()
    assert record.kind == "exit"
    assert len(record.tensors["weights"]) == 4
    assert list(record.latent) == ["process generators", "seeds"]


def test_reset_runtime_ends_no_record(launched: Any, written: Any) -> None:
    child = launched(
        written(
            "import keras\nfrom tensorflow.python.eager import context\nfrom small import X, Y, build\n"
            "old = build(dropout=0.5)\nbuild(dropout=0.5).fit(X, Y, verbose=0)\n"
            "keras.random.uniform(())\n"
            "context._reset_context()\n"
            "for _ in range(2):\n    build(dropout=0.5).fit(X, Y, verbose=0)\n"
        )
    )
    assert child.outcome.code == 0, child.output
    records = list(child.ledger.typed_records())
    assert [r.fit for r in records if r.kind == "end"] == [0, 1, 2]
    assert (records[-1].kind, records[-1].extra["status"]) == ("exit", "finished")
    # Models from before are still read: the first one is as it was created.
    assert "model 0/layers/0/kernel" in str(records[-1].latent)


def test_mirrored_strategy_is_recorded_in_and_out_of_its_scope(launched: Any, written: Any) -> None:
    child = launched(
        written(
            "import keras, tensorflow as tf\nfrom small import X, Y, build\n"
            "cpus = tf.config.list_physical_devices('CPU')\n"
            "tf.config.set_logical_device_configuration(\n"
            "    cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)\n"
            "keras.utils.set_random_seed(1)\n"
            "with tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1']).scope():\n"
            "    model = build(dropout=0.2)\n"
            "    model.fit(X, Y, epochs=2, batch_size=32, verbose=0)\n"
            "    model.evaluate(X, Y, verbose=0)\n"
            "    made = build()\n"
            "made.fit(X, Y, epochs=2, batch_size=32, verbose=0)\n"
            "model.train_on_batch(X, Y)\n"
        )
    )
    assert child.outcome.code == 0, child.output
    records = list(child.ledger.typed_records())
    assert [(r.fit, r.epoch) for r in records if r.kind == "epoch"] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    digests = [r.sections["weights"] for r in records if r.fit is not None and "weights" in r.sections]
    assert len(set(digests)) >= 6
    assert {"optimizer", "metrics"} <= set(records[3].sections)
    assert [r.kind for r in records if r.kind in ("evaluation", "exit")] == ["evaluation", "exit"]
