"""`keras-repro run --portable` and `verify --enforce --portable`."""

import json

import pytest

GOOD = """\
from small import X, Y, build

build(dropout=0.2).fit(X, Y, epochs=2, verbose=0)
"""
BAD = """\
import keras
import tensorflow as tf
from small import X, Y


def strange(x):
    return x * tf.linalg.svd(x[:, None, :], compute_uv=False)


odd = keras.layers.Lambda(strange, name="odd")
model = keras.Sequential([keras.layers.Dense(4), odd, keras.layers.Dense(1)])
model.compile(optimizer="sgd", loss="mse")
model.fit(X, Y, verbose=0)
"""

XLA = """\
import keras
from small import X, Y

model = keras.Sequential([keras.layers.Dense(1)])
model.compile(loss="mse", jit_compile=True)
model.fit(X, Y, verbose=0)
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "--portable"], "--portable pins every switch: add --enforce"),
        (
            ["run", "--threads", "2"],
            "--threads and --allow-unportable are for portable runs: add --portable",
        ),
        (["run", "--allow-unportable"], "--threads and --allow-unportable are for portable runs"),
        (["run", "--portable", "--threads", "0"], "needs a whole number from 1, received '0'"),
    ],
)
def test_usage_errors(command, written, arguments, message):
    answer = command(*arguments, written("print()"))
    assert answer.code == 2
    assert message in answer.err.replace("\n", " ")


def ledger_of(folder):
    with open(folder / "ledger.jsonl") as file:
        header, *records = map(json.loads, file)
    return header, [r["portability"] for r in records if "portability" in r]


def test_portable_runs_are_identical(command, written, here):
    answer = command("verify", "--enforce", "--portable", "--runs", 2, "--run-dir", "v", written(GOOD))
    assert (answer.code, answer.err) == (0, "")
    header, portability = ledger_of(here / "v" / "run-2")
    assert header["determinism"] == "portable"
    switches = {s["name"]: s["achieved"] for s in header["switches"]}
    assert switches["graph_optimizer"] == {"constant_folding": False, "arithmetic_optimization": False}
    assert [(s["level"], s["threads"], s["findings"]) for s in portability] == [
        ("portable over x86-64 with AVX2, at any number of threads", 1, [])
    ]


def test_unportable_operations_are_refused_or_recorded(command, written, here):
    name = written(BAD)
    answer = command("verify", "--enforce", "--portable", "--runs", 2, "--run-dir", "v", name)
    assert answer.code == 2
    assert "Svd in layer odd, made at script.py:7: is not known to be portable" in answer.err
    assert "Traceback" not in answer.err
    allowed = ("--portable", "--allow-unportable", "--force", "--run-dir", "v", name)
    assert command("verify", "--enforce", "--runs", 2, *allowed).code == 0
    (portability,) = ledger_of(here / "v" / "run-1")[1]
    assert portability["level"].startswith("not portable: ")
    assert {"odd"} <= {f["layer"] for f in portability["findings"]}


def test_xla_is_refused(command, written, here):
    name = written(XLA)
    answer = command("run", "--portable", "--run-dir", "v", name)
    assert answer.code == 2
    assert "train_step: asks for XLA (jit_compile=True), which compiles for one kind of CPU" in answer.err
    assert "Traceback" not in answer.err
    assert command("run", "--portable", "--allow-unportable", "--force", "--run-dir", "v", name).code == 0
    (portability,) = ledger_of(here / "v")[1]
    assert portability["level"].startswith("not portable: ")
