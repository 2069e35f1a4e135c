"""`keras-repro compare RUN --fits N N`: why do two fits of one run differ?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import ledger_builders as builders
from ledger_builders import KERNEL

from keras_repro.ledger.fit_reader import open_fits
from keras_repro.ledger.reader import open_ledger

SCRIPT = """
import keras
import numpy as np
from small import X, Y, build

def seeded(seed=3):
    keras.utils.set_random_seed(seed)
    return build(dropout=0.2)

first = seeded()
first.fit(X, Y, epochs=2, verbose=0)
seeded().fit(X, Y, epochs=2, verbose=0)
seeded().fit(X[::-1], Y[::-1], epochs=2, verbose=0)
build(dropout=0.2).fit(X, Y, epochs=2, verbose=0)
first.fit(X, Y, epochs=2, verbose=0)
seeded().fit(X, Y, epochs=1, verbose=0)
keras.utils.set_random_seed(3)
build(units=3).fit(X, Y, verbose=0)
"""


def test_fits_of_a_run_are_compared(launched: Any, written: Any, command: Any, here: Path) -> None:
    child = launched(written(SCRIPT), every="step")
    assert child.outcome.code == 0, child.output

    same = command("compare", "run", "--fits", 1, 2, "--json", "same.json", "--html", "same.html")
    assert same.code == 0, same.err
    assert same.out.splitlines()[0].split() == ["epoch", "loss", "accuracy", "fit", "1", "fit", "2"]
    assert "covers: training; only these two fits were compared" in same.out
    assert same.out.splitlines()[-1].startswith("identical: two fits of one run, bit for bit, TensorFlow ")
    answer = json.loads((here / "same.json").read_text())
    assert (answer["verdict"], [r["fit"] for r in answer["runs"]]) == ("identical", [0, 1])
    assert len({r["fingerprint"] for r in answer["runs"]}) == 1
    assert answer["runs"][0]["fingerprint"].startswith("kr1-sm-")
    assert "Identical, bit for bit: fit 1 and fit 2" in (here / "same.html").read_text()

    order = command("compare", "run", "--fits", 3, 1, "--json", "order.json", "--png", "order.png")
    assert order.code == 1
    found = json.loads((here / "order.json").read_text())["divergence"]
    assert (found["kind"], found["epoch"], found["step"], found["cause"]) == ("epoch", 0, 0, "data_order")
    assert "distance where weights diverge, epoch 1: 2 of 2 layers" in order.out
    assert "diverged: at epoch 1/2, by step 1: weights differ" in order.out
    assert (here / "order.png").stat().st_size > 1000

    seeds = command("compare", "run", "--fits", 2, 4, "--html", "seeds.html")
    assert seeds.code == 1
    flat = " ".join(seeds.out.split())
    assert "cause: initial_weights" in flat
    assert (
        "the generators have moved on between the two fits; call keras.utils.set_random_seed before building "
        "each model"
    ) in flat
    page = (here / "seeds.html").read_text()
    assert "The fits diverged: fit 2 and fit 4" in page
    assert str(here) not in page

    again = command("compare", "run", "--fits", 1, 5)
    assert again.code == 1, again.err
    assert "cause: initial_weights" in again.out
    assert "both fits train the same model, which has changed in between" in " ".join(again.out.split())

    longer = command("compare", "run", "--fits", 1, 6)
    assert longer.code == 1
    assert "then one fit ended and the other continued" in " ".join(longer.out.split())

    other = command("compare", "run", "--fits", 1, 7)
    assert (other.code, other.err) == (1, "")
    assert "cause: configuration" in other.out
    assert "diverged: before the first epoch: different models: layers/0/bias is float32[8] in one" in (
        " ".join(other.out.split())
    )

    # Two runs with one fit each give the same answer as the fits of one run.
    fits = open_fits("run", (1, 4))
    for name, fit in zip("ab", fits, strict=True):
        builders.write(here / name, fit.typed_records(), coverage="sm")
        assert open_ledger(here / name).fingerprint == fit.fingerprint
    assert command("compare", "a", "b").code == 1


def test_fits_that_train_the_same_model_are_named(command: Any, here: Path) -> None:
    first = builders.training(models=[0])
    second = [replace(r, fit=1) for r in builders.changed(first, "start 0", "weights", KERNEL, "trained")]
    builders.write(here / "same", [*first, *second])
    answer = command("compare", "same", "--fits", 1, 2)
    assert (answer.code, "cause: initial_weights" in answer.out) == (1, True)
    assert "both fits train the same model, which has changed in between" in " ".join(answer.out.split())
    # The optimizer has its slots from the first fit: another structure, for the same reason.
    slots = {"optimizer": {"optimizer/momentums/0": "moved"}}
    shapes = {"optimizer/momentums/0": ["float32", [], "m"]}
    start = builders.record("start", slots, fit=1, shapes=shapes)
    builders.write(here / "slots", [*first, second[0], start, *second[2:]])
    answer = command("compare", "slots", "--fits", 1, 2)
    assert (answer.code, "cause: initial_weights" in answer.out) == (1, True)
    # Two models, and a generator that has moved on.
    other = [replace(r, extra=dict(r.extra) | {"models": [1]}) if r.kind == "fit" else r for r in second]
    builders.write(here / "other", [*first, *other])
    answer = command("compare", "other", "--fits", 1, 2)
    assert "the generators have moved on between the two fits" in " ".join(answer.out.split())
    # Two runs are compared as before.
    builders.write(here / "a", first)
    builders.write(here / "b", builders.changed(first, "start 0", "weights", KERNEL, "trained"))
    answer = command("compare", "a", "b")
    assert "a seed is set, but after the model was built" in " ".join(answer.out.split())


def test_wrong_fits_are_refused(command: Any, here: Path) -> None:
    two = [*builders.training(), *builders.training(fit=1)]
    builders.write(here / "two", two)
    builders.write(here / "one", builders.training())
    builders.write(here / "none", [builders.exit_record()], coverage="smr")
    ledger = "two/ledger.jsonl"
    wrong = f"cannot compare fits {{}} of {ledger}: it has 2 fits. Use two different numbers from 1 to 2"
    messages = {
        ("two", "--fits", "1", "3"): wrong.format("1 and 3"),
        ("two", "--fits", "2", "2"): wrong.format("2 and 2"),
        ("one", "--fits", "1", "2"): "cannot compare fits of one/ledger.jsonl: it has 1 fit",
        ("none", "--fits", "1", "2"): "cannot compare fits of none/ledger.jsonl: it has no fits",
        ("two", "one", "--fits", "1", "2"): "--fits compares two fits of one run: give one RUN",
        ("two", "--fits", "1", "2", "--noise", "one"): "--noise needs two runs: remove --fits",
        ("two", "--fits", "0", "2"): "argument --fits: needs a whole number from 1, received '0'",
        ("two", "--fits", "1"): "argument --fits: expected 2 arguments",
        ("two",): "the following arguments are required: RUN",
        ("gone", "--fits", "1", "2"): "no ledger at gone",
    }
    for arguments, message in messages.items():
        answer = command("compare", *arguments)
        assert (answer.code, answer.out) == (2, ""), arguments
        assert message in " ".join(answer.err.split()), (arguments, answer.err)


def test_fit_that_was_stopped_or_damaged_is_named(command: Any, here: Path) -> None:
    first = builders.training()
    second = [replace(r, fit=1) for r in first]
    builders.write(here / "run", [*first, *second[:-1]])
    answer = command("compare", "run", "--fits", 1, 2)
    assert answer.code == 1
    text = " ".join(answer.out.split())
    assert "then fit 2 of run/ledger.jsonl ends: it was killed" in text
    answer = command("compare", "run", "--fits", 2, 1)
    assert answer.code == 1

    damaged = builders.changed([*first, *second], "epoch 1 1", "weights", KERNEL, "other")
    builders.write(here / "other", damaged)
    answer = command("compare", "other", "--fits", 1, 2)
    assert "diverged: at epoch 2/3: weights differ, first in layers/0/kernel" in answer.out
    lines = (here / "other" / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (here / "other" / "ledger.jsonl").write_bytes(b"".join(lines[:3] + lines[4:]))
    answer = command("compare", "other", "--fits", 1, 2)
    assert (answer.code, "is damaged" in answer.err) == (2, True), answer.err
