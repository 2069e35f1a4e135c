"""A diagnosing process compares its events with a trace: it continues, or exits with a report."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_repro.processes.protocol import DIVERGED, TARGET_REACHED
from keras_repro.storage.divergence_report import Difference, DivergenceReport, StateEvidence
from keras_repro.storage.run_folder import DIVERGENCE_NAME, TRACE_NAME
from keras_repro.storage.trace_file import Interval, StepBeginEvent, StepPosition, WeightsEvent, read_trace

CHILD = """
import json, sys
from pathlib import Path
from keras_repro.storage.divergence_report import StateEvidence
from keras_repro.storage.trace_file import StepBeginEvent, StepPosition, WeightsEvent
from keras_repro.training.probes.event_log import EventLog

folder, digests, fails, options = json.loads(sys.argv[1])

def evidence():
    if fails:
        raise ValueError("no evidence")
    return StateEvidence(draws_data=True)

log = EventLog(Path(folder), **options)
for step, digest in enumerate(digests):
    log.note(WeightsEvent(method="predict", digest=digest))
    event = StepBeginEvent(position=StepPosition(0, 0, step), tensors={"weights": {"kernel": digest}})
    log.check(event, evidence=evidence)
log.close()
print("continued")
"""


def begin(step: int, digest: str) -> StepBeginEvent:
    return StepBeginEvent(position=StepPosition(0, 0, step), tensors={"weights": {"kernel": digest}})


def weights(digest: str) -> WeightsEvent:
    return WeightsEvent(method="predict", digest=digest)


Run = Callable[..., tuple[int, str, Path]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a process with one step per digest; return its exit code, its output and its folder."""

    def start(name: str, digests: str, *, fails: bool = False, **options: object) -> tuple[int, str, Path]:
        folder = tmp_path / name
        folder.mkdir()
        argument = json.dumps([str(folder), list(digests), fails, options])
        child = subprocess.run(
            [sys.executable, "-c", CHILD, argument], capture_output=True, text=True, check=False
        )
        return child.returncode, child.stdout + child.stderr, folder

    return start


def report_in(folder: Path) -> DivergenceReport:
    return DivergenceReport.from_dict(json.loads((folder / DIVERGENCE_NAME).read_text()))


def test_identical_process_continues(run: Run) -> None:
    code, output, folder = run("first", "ab")
    assert (code, output) == (0, "continued\n")
    assert list(read_trace(folder / TRACE_NAME)) == [
        Interval(context=(weights("a"),), checked=begin(0, "a")),
        Interval(context=(weights("b"),), checked=begin(1, "b")),
    ]
    code, output, second = run("second", "ab", reference=str(folder / TRACE_NAME))
    assert (code, output) == (0, "continued\n")
    assert not (second / DIVERGENCE_NAME).exists()


@pytest.mark.parametrize("fails", [False, True])
def test_process_exits_with_a_report_at_the_first_mismatch(run: Run, fails: bool) -> None:
    _, _, first = run("first", "abc")
    code, output, folder = run("second", "axy", fails=fails, reference=str(first / TRACE_NAME))
    assert (code, output) == (DIVERGED, "")
    evidence = StateEvidence(error="ValueError: no evidence") if fails else StateEvidence(draws_data=True)
    assert report_in(folder) == DivergenceReport(
        interval=1,
        event=begin(1, "x"),
        reference=begin(1, "b"),
        diverged=True,
        differences=(Difference(interval=1, event=weights("x"), reference=weights("b")),),
        evidence=evidence,
    )


def test_process_that_runs_longer_than_the_trace_diverges(run: Run) -> None:
    _, _, first = run("first", "a")
    code, _, folder = run("second", "ab", reference=str(first / TRACE_NAME))
    assert code == DIVERGED
    assert report_in(folder).reference is None


@pytest.mark.parametrize("target", [False, True])
def test_process_exits_at_its_target(run: Run, target: bool) -> None:
    _, _, first = run("first", "abc")
    code, output, folder = run("second", "abc", reference=str(first / TRACE_NAME), until=1, target=target)
    assert (code, output) == (TARGET_REACHED, "")
    report = report_in(folder)
    assert (report.interval, report.diverged, report.event) == (1, False, begin(1, "b"))
    assert report.evidence == StateEvidence(draws_data=target)


RECORDS = """
import json, sys
from pathlib import Path
from keras_repro.storage.trace_file import RecordEvent
from keras_repro.training.probes.event_log import EventLog

folder, positions, last = json.loads(sys.argv[1])
log = EventLog(Path(folder), last=last)
for position in positions:
    print(position, flush=True)
    log.check(RecordEvent(position=position, record_kind=position.split()[0], tensors={}))
"""


@pytest.mark.parametrize(
    ("epoch", "positions"),
    [
        (0, ["fit 0", "end 0", "fit 1", "epoch 1 0"]),
        (1, ["fit 0", "end 0", "fit 1", "epoch 1 0", "epoch 1 1"]),
        (7, ["fit 0", "end 0", "fit 1", "epoch 1 0", "epoch 1 1", "end 1"]),  # it ends earlier
    ],
)
def test_process_exits_after_its_last_epoch(tmp_path: Path, epoch: int, positions: list[str]) -> None:
    given = ["fit 0", "end 0", "fit 1", "epoch 1 0", "epoch 1 1", "end 1", "exit"]
    argument = json.dumps([str(tmp_path), given, {"fit": 1, "epoch": epoch}])
    child = subprocess.run(
        [sys.executable, "-c", RECORDS, argument], capture_output=True, text=True, check=False
    )
    assert (child.returncode, child.stdout.splitlines()) == (TARGET_REACHED, positions), child.stderr
