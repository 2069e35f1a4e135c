"""Fits in threads: all are recorded, and their order in time changes no verdict."""

from __future__ import annotations

from typing import Any

import pytest

THREADS = """
import os, sys, threading
from concurrent.futures import ThreadPoolExecutor
import keras
import numpy as np
import tensorflow as tf
from small import X, Y

later = os.path.exists("ran")  # the second run has other threads, and another order
open("ran", "w").close()
ODD = sys.argv[1:]


def build(seed, units=4):
    start = keras.initializers.GlorotUniform(seed=seed)
    dense = [keras.layers.Dense(n, kernel_initializer=start) for n in (units, 1)]
    model = keras.Sequential([keras.Input((6,)), *dense])
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def train(seed):
    start = 30 + later if ODD == ["weights"] and seed == 3 else seed
    model = build(start, units=4 + seed % 2)
    data = X + later if ODD == ["data"] and seed == 3 else X
    rate = 0.5 if ODD == ["second"] and seed == 3 and later else 0.01
    model.fit(data, Y, epochs=2, shuffle=False, verbose=0)
    model.optimizer.learning_rate = rate
    model.fit(X[:48], Y[:48], epochs=2, shuffle=False, verbose=0)
    model.evaluate(X, Y, verbose=0)


def step(seed):
    model = build(seed)
    for _ in range(5):
        model.train_on_batch(X[:32], Y[:32])


def tape(seed):
    model = build(seed)
    with tf.GradientTape() as recorded:
        loss = tf.reduce_mean(model(X) ** 2)
    weights = model.trainable_variables
    model.optimizer.apply_gradients(zip(recorded.gradient(loss, weights), weights))
    return model


def in_order(tasks):
    # Alone and one after the other, or all at once and the last first.
    with ThreadPoolExecutor(len(tasks) if later else 1) as pool:
        started = [pool.submit(*task) for task in (reversed(tasks) if later else tasks)]
        return [future.result() for future in started]


common = build(9)
common.fit(X, Y, shuffle=False, verbose=0)
in_order([(train, seed) for seed in (1, 2, 3, 4)])
main = threading.Thread(target=train, args=(5,))
main.start()
common.fit(X, Y, shuffle=False, verbose=0)
main.join()
in_order([(common.predict, X[rows : rows + 32], None, 0) for rows in (0, 32, 64)])
in_order([(step, 6), (step, 7)])
kept = in_order([(tape, 8), (tape, 10)])
common.evaluate(X, Y, verbose=0)
"""


def test_fits_in_threads_are_recorded_in_an_order_that_time_does_not_change(
    verified: Any, written: Any
) -> None:
    result = verified(written(THREADS))
    assert result.comparison.verdict == "identical", result.comparison
    records = [list(ledger.typed_records()) for ledger in result.comparison.ledgers]
    assert [r.position for r in records[0]] == [r.position for r in records[1]]
    fits = [r for r in records[0] if r.kind == "fit"]
    assert [(r.fit, r.extra["models"]) for r in fits] == [
        *((0, [0]), (1, [0])),  # of the main thread
        *(
            (2, [1]),
            (3, [1]),
            (4, [2]),
            (5, [2]),
            (6, [3]),
            (7, [3]),
            (8, [4]),
            (9, [4]),
            (10, [5]),
            (11, [5]),
        ),
    ]
    assert [r.extra["data"]["samples"] for r in fits] == [96, 96, *([96, 48] * 5)]
    assert [r.extra["status"] for r in records[0] if r.kind == "end"] == ["finished"] * 12
    assert len([r for r in records[0] if r.kind == "epoch"]) == 2 + 20
    assert [r.index for r in records[0] if r.kind == "evaluation"] == [0, 1, 2, 3, 4, 5]
    assert [r.index for r in records[0] if r.kind == "prediction"] == [0, 1, 2]
    loops = [(r.index, r.extra["steps"]) for r in records[0] if r.kind == "loop"]
    assert loops == [(i, n) for i in (0, 1) for n in (0, 1, 2, 4, 5)]
    exits = records[0][-1]
    assert {name.partition("/")[0] for name in exits.tensors["weights"]} == {"model 1", "model 2"}
    # In the order of time, the runs differ: the second began with the last.
    assert len({r.sections["weights"] for r in records[0] if r.kind == "start"}) == 12


@pytest.mark.parametrize(
    ("odd", "kind", "cause"),
    [
        ("weights", "start", "initial_weights"),
        ("data", "epoch", "data_values"),
        ("second", "start", "configuration"),
    ],
)
def test_difference_in_a_thread_is_found(
    odd: str, kind: str, cause: str, verified: Any, written: Any
) -> None:
    divergence = verified(written(THREADS), odd, keep_going=True).comparison.divergence
    assert (divergence.kind, divergence.cause) == (kind, cause), divergence
    assert divergence.fit is not None
    assert divergence.fit >= 2


def test_scripts_that_train_in_one_thread_have_the_usual_record(launched: Any, written: Any) -> None:
    lines = (
        "import threading\nimport keras\nfrom small import X, Y, build\n"
        "keras.utils.set_random_seed(1)\n"
        "def main():\n    model = build()\n    model.fit(X, Y, epochs=2, verbose=0)\n"
        "    model.evaluate(X, Y, verbose=0)\n"
    )
    thread = launched(
        written(f"{lines}thread = threading.Thread(target=main)\nthread.start()\n"), every="step"
    )
    assert thread.outcome.code == 0, thread.output
    positions = [r.position for r in thread.ledger.typed_records()]
    assert positions == [
        *("fit 0", "start 0", "birth 0 0", "epoch 0 0", "epoch 0 1", "end 0", "evaluation 0", "exit")
    ]
    assert [r.step for r in thread.ledger.steps(0, 1)] == [0, 1, 2]
    assert (thread.folder / "sketches.bin").stat().st_size > 1000


def test_failed_fit_ends_its_own_record_only(launched: Any, written: Any) -> None:
    child = launched(
        written(
            "import keras\nfrom small import X, Y, build\nkeras.utils.set_random_seed(1)\n"
            "class Odd:\n    def __float__(self):\n        raise RuntimeError('no number')\n"
            "class Adds(keras.callbacks.Callback):\n"
            "    def on_epoch_end(self, epoch, logs=None):\n        logs['odd'] = Odd()\n"
            "def refused(**arguments):\n"
            "    model = build()\n    model.compile('sgd', 'mse', **arguments)\n"
            "    try:\n        model.fit(X, Y, verbose=0)\n"
            "    except Exception as error:\n        print('refused:', type(error).__name__)\n"
            "refused(steps_per_execution='auto')\n"
            "build().fit(X, Y, epochs=2, verbose=0)\n"
            "build().fit(X, Y, epochs=2, verbose=0, callbacks=[Adds()])\n"
            "build().fit(X, Y, epochs=2, verbose=0, callbacks=[Adds()])\n"
            "build().fit(X, Y, epochs=2, verbose=0)\n"
        )
    )
    assert child.outcome.code == 74, child.output
    assert "refused: TypeError" in child.output
    # The last line names the first failure.
    assert child.output.splitlines()[-1] == (
        "keras-repro: recording ended at epoch 1 of fit 3: RuntimeError: no number"
    )
    records = list(child.ledger.typed_records())
    kinds = {fit: [r.kind for r in records if r.fit == fit] for fit in range(5)}
    whole = ["fit", "start", "birth", "epoch", "epoch", "end"]
    assert kinds[0] in (["fit", "start", "end"], ["fit", "start", "birth", "end"])
    assert {kinds[fit] == whole for fit in (1, 4)} == {True}
    assert {"end" in kinds[fit] or "epoch" in kinds[fit] for fit in (2, 3)} == {False}
    assert (records[-1].extra["status"], records[-1].extra["incomplete"]) == ("stopped", True)
    assert child.ledger.fingerprint.endswith("-partial")
