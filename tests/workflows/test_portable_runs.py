"""Portable runs: on two CPUs, compared with other runs, run again, and on the page."""

import pytest
from ledger_builders import changed, training, with_fields, write

from keras_repro.comparison.compare import compare
from keras_repro.ledger.reader import open_ledger
from keras_repro.report.paper.report import render_report
from keras_repro.workflows.reproduce.recorded_task import task_from_specs
from keras_repro.workflows.reproduce.run_spec import read_run_spec

LEVEL = "portable over x86-64 with AVX2, at 1 thread"


def runs_of(tmp_path, *records, **header):
    cpus = ("a Haswell", "an EPYC")
    return [
        write(tmp_path / f"run-{i}", run, environment={"cpu": {"model": cpu}}, **header)
        for i, (run, cpu) in enumerate(zip(records, cpus, strict=True))
    ]


@pytest.mark.parametrize(
    ("determinism", "expected"),
    [
        ("portable", "portable runs: expected to be identical"),
        ("bitwise", "not expected to be identical: these are not portable runs"),
    ],
)
def test_portable_runs_on_two_cpus_are_compared(tmp_path, determinism, expected):
    other = changed(training(), "epoch 0 1", "weights", "layers/0/bias", "other")
    for second, verdict in ((training(), "identical"), (other, "diverged")):
        comparison = compare(*runs_of(tmp_path / verdict, training(), second, determinism=determinism))
        note = f"CPU model differs: a Haswell and an EPYC ({expected})"
        assert comparison.verdict == verdict
        assert note in (comparison.notes if verdict == "identical" else comparison.divergence.explanation)


def test_portable_run_and_other_run_are_compared(tmp_path):
    a = write(tmp_path / "a", training(), determinism="portable")
    comparison = compare(a, write(tmp_path / "b", training()))
    assert (comparison.verdict, comparison.reason) == (
        "incomparable",
        "one run is portable and the other bitwise: two different trainings",
    )


def test_portable_run_is_portable_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("")
    threads = {"name": "intra_op_threads", "requested": 2, "achieved": 2}
    header = {
        "mode": "enforced",
        "determinism": "portable",
        "seed": 9,
        "switches": (threads,),
        "command": {"script": "train.py", "module": None, "arguments": []},
    }
    ledgers = [open_ledger(write(tmp_path / n, training(), **header)) for n in "ab"]
    task = task_from_specs([read_run_spec(ledger) for ledger in ledgers])
    assert task.pinned["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert task.pinned["TF_NUM_INTRAOP_THREADS"] == "2"
    assert task.portability.strict is False
    plan = task.plan(tmp_path / "again", redirect=True)
    assert plan.portability == {"threads": 2, "strict": False}
    assert plan.switches["graph_optimizer"] == {"constant_folding": False, "arithmetic_optimization": False}
    assert "OPENBLAS_CORETYPE" not in plan.switches


def test_page_describes_a_portable_run(tmp_path):
    good = {"level": LEVEL, "threads": 1, "findings": []}
    finding = {"operation": "LRN", "layer": "odd", "source": "train.py:3", "reason": "is not known"}
    bad = {"level": "not portable: 1 operation", "threads": 1, "findings": [finding]}
    command = {"script": "train.py", "module": None, "arguments": [], "hidden": 0}
    pages = []
    for portability in (good, bad, None):
        records = with_fields(
            training(), "epoch 0 0", extra={"portability": portability} if portability else {}
        )
        run = write(
            tmp_path / "run", records, determinism="portable", mode="enforced", seed=3, command=command
        )
        pages.append(render_report([run]).replace("\\", ""))
    assert f"**Determinism**: {LEVEL}" in pages[0]
    assert "keras-repro run --pin-seed 3 --portable train.py" in pages[0]
    assert "Results differ in the last digits on CPUs other than x86-64 with AVX2." in pages[0]
    assert "**Determinism**: not portable: 1 operation" in pages[1]
    assert "Not known to be portable: LRN, odd, train.py:3, is not known." in pages[1]
    assert "Results may differ in the last digits on another CPU model" in pages[1]
    assert "no training step was checked" in pages[2]
