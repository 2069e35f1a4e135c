"""Diagnoses of real runs: of a callback, a trainer and unmodified scripts, in forked processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import Answer, Child
from forkserver import ForkServer

from keras_repro.ledger.reader import open_ledger
from keras_repro.storage.trace_file import StepEndEvent, StepPosition, read_trace
from keras_repro.workflows.diagnose import diagnose

SUMMARY = ["where", "what", "cause", "line", "fix"]


@pytest.fixture
def explaining(
    command: Callable[..., Answer], forkserver: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Run `keras-repro` in this process; its children, also of a diagnosis, are forked."""
    forked = partial(diagnose, launcher=forkserver.launcher)
    monkeypatch.setattr("keras_repro.cli.commands.diagnose.diagnose", forked)

    def run(*arguments: object) -> tuple[Answer, dict[str, Any]]:
        output = Path("output.json")
        output.unlink(missing_ok=True)  # a command that fails leaves it as it was
        tried = () if "--try-fix" in arguments else ("--no-try-fix",)
        answer = command(arguments[0], "--json", output, *tried, *arguments[1:])
        return answer, json.loads(output.read_text()) if output.exists() else {}

    return run


def summary(answer: Answer) -> dict[str, str]:
    """Return the last five lines, which are the summary, by their names."""
    fields = dict(line.split(":", 1) for line in answer.out.splitlines()[-5:])
    assert list(fields) == SUMMARY
    return {name: text.strip() for name, text in fields.items()}


def comment(source: dict[str, Any]) -> str:
    return str(source["code"]).rpartition("# ")[2]


def line_of(text: str, fragment: str) -> int:
    """Return the number of the only line of a script that contains a fragment."""
    (number,) = [n for n, line in enumerate(text.splitlines(), start=1) if fragment in line]
    return number


RECORDS_ITSELF = """
import sys
import keras
import numpy as np
import keras_repro as kr
from small import X, Y, build

keras.utils.set_random_seed(3)
build().fit(X, Y, epochs=1, batch_size=48, verbose=0)
noise = np.random.default_rng()
y = (Y + noise.normal(scale=0.1, size=Y.shape)).astype("float32")
if sys.argv[1] == "callback":
    model = build()
    model.fit(X, y, epochs=2, batch_size=48, verbose=0, callbacks=[kr.DeterminismCallback("own")])
else:
    kr.ReproducibleTrainer(build, seed=1, batch_size=48).fit(X, y, epochs=2, verbose=0, run_dir="own")
"""


@pytest.mark.parametrize("kind", ["callback", "trainer"])
def test_run_recorded_by_the_script_itself_is_diagnosed(
    kind: str, written: Callable[..., str], launched: Callable[..., Child], here: Path, explaining: Any
) -> None:
    script = written(RECORDS_ITSELF)
    for name in "ab":
        child = launched(script, kind)
        assert child.outcome.code == 0, child.output
        (child.folder / "runs" / "own").rename(here / name)
        child.folder.rename(here / f"launched-{name}")
    answer, result = explaining("diagnose", "a", "b", "--", kind)
    assert (answer.code, answer.err) == (1, "")
    divergence = result["divergence"]
    # The ledgers have one fit; it is the second of the script.
    assert (open_ledger("a").header["coverage"] == "sm") == (kind == "callback")
    assert divergence["cause"] == "data_values"
    assert divergence["source"]["line"] in {
        line_of(RECORDS_ITSELF, t) for t in ("default_rng", "noise.normal")
    }
    assert divergence["diagnosis"]["trainings"] <= 4
    assert summary(answer)["cause"].startswith("data_values: ")
    assert summary(answer)["what"] == "y given to fit"


LATE = """
import keras
import numpy as np
from small import X, Y, build

def batches():
    rng = np.random.default_rng()
    number = 0
    while True:
        number += 1
        x = X[:8]
        if number == 250:
            x = x + rng.normal(size=x.shape).astype("float32")
        yield x, Y[:8]

keras.utils.set_random_seed(3)
model = build()
model.fit(batches(), steps_per_epoch=100, epochs=3, verbose=0)
print("to the end")
"""


def test_divergence_at_step_250_of_300_is_diagnosed(written: Callable[..., str], explaining: Any) -> None:
    answer, result = explaining("verify", "--explain", "--runs", "2", "--keep-hash-seed", written(LATE))
    assert (answer.code, answer.err) == (1, "")
    divergence = result["divergence"]
    assert (divergence["fit"], divergence["epoch"], divergence["step"]) == (0, 2, 49)
    assert {"cause", "layer", "operation", "source", "evidence", "fix"} <= set(divergence)
    assert divergence["cause"] == "data_values"
    assert divergence["source"]["line"] in {line_of(LATE, t) for t in ("rng = ", "x = x + rng")}
    assert divergence["evidence"]
    five = summary(answer)
    assert five["where"] == "fit 1, epoch 3, step 50"
    assert five["line"].startswith("script.py:")
    lines = answer.out.splitlines()
    # The comparison comes first, then the evidence, then the summary.
    starts = ["diagnosing: ", "epoch ", "diverged: ", "evidence:", "where:"]
    numbers = [next(i for i, line in enumerate(lines) if line.startswith(start)) for start in starts]
    assert numbers == sorted(numbers)
    assert lines[numbers[3] - 1].startswith("diverged: ")
    assert not any(line.startswith("also") for line in lines)
    assert five["what"] == "inputs of the batch"
    assert divergence["diagnosis"]["trainings"] == sum(
        line.startswith("diagnosing: training") for line in lines
    )
    assert divergence["diagnosis"]["trainings"] <= 4
    # No training continued after the step.
    folder = Path(result["runs"][0]["ledger"]).parents[1] / "diagnosis"
    second = list(read_trace(folder / "2" / "trace.jsonl"))
    last = second[-1].checked
    assert isinstance(last, StepEndEvent)
    assert last.position == StepPosition(0, 2, 49)
    assert "to the end" not in (folder / "2" / "output.txt").read_text()


# The script counts its runs outside of its folder and depends on the count: runs 1 and 2 diverge.
CHANGES = """
import os
import sys
import keras
from small import X, Y, build

times = os.environ["TIMES"]
number = len(open(times).read()) + 1 if os.path.exists(times) else 1
open(times, "a").write("x")
keras.utils.set_random_seed(3 if number == 1 else 4)
if number > 2 and sys.argv[1] == "fails":
    raise RuntimeError(f"no connection in run {number}")
if number > 3 and sys.argv[1] == "fails later":
    raise RuntimeError(f"no connection in run {number}")
if number > 2 and sys.argv[1] == "stops":
    print("nothing to do")
    sys.exit(0)
build().fit(X, Y, epochs=3, batch_size=48, verbose=0)
"""


FAILED = "a diagnosing run failed with exit code 1; "


@pytest.fixture
def times(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path_factory.mktemp("far") / "times.txt"
    monkeypatch.setenv("TIMES", str(file))
    return file


def test_divergence_that_does_not_happen_again_is_reported(
    times: Path, written: Callable[..., str], explaining: Any
) -> None:
    script = written(CHANGES)
    answer, result = explaining("verify", "--explain", "--runs", "2", "--keep-hash-seed", script, "continues")
    assert (answer.code, answer.err) == (1, "")
    assert len(times.read_text()) == 2 + 4
    divergence = result["divergence"]
    # The evidence of the two ledgers is kept.
    assert (divergence["cause"], divergence["diagnosis"]["trainings"]) == ("initial_weights", 4)
    assert summary(answer)["cause"] == (
        "initial_weights: the divergence did not happen again: "
        "4 further trainings were identical up to that point"
    )
    assert summary(answer)["where"] == "before the first epoch"
    assert summary(answer)["what"] == divergence["tensor"]
    assert divergence["evidence"][1].startswith("the ledgers show: ")


@pytest.mark.parametrize(
    ("way", "said_of_it", "output"),
    [
        ("fails", FAILED, ["RuntimeError: no connection in run 3"]),
        # The run that is compared with the first has not diverged: it failed.
        (
            "fails later",
            "a diagnosing run failed with exit code 1; ",
            ["RuntimeError: no connection in run 4"],
        ),
        ("stops", "a diagnosing run: no Keras training was observed: nothing to compare; ", []),
    ],
)
def test_script_that_fails_in_the_diagnosis_is_reported(
    way: str, said_of_it: str, output: list[str], times: Path, written: Callable[..., str], explaining: Any
) -> None:
    script = written(CHANGES)
    verify = ("verify", "--runs", "2", "--keep-hash-seed", "--publish-arguments", "--run-dir", "runs")
    answer, result = explaining(*verify, "--explain", script, way)
    # The divergence of the runs is still reported.
    assert answer.code == 1
    assert result["verdict"] == "diverged"
    *before, last = answer.err.splitlines()
    assert last.startswith(f"keras-repro: the cause was not found: {said_of_it}")
    assert before[-1:] == output
    assert "keras_repro/" not in answer.err
    assert "diverged" in answer.out

    if way == "fails later":
        return
    answer, result = explaining("diagnose", "runs/run-1", "runs/run-2")
    assert (answer.code, result) == (2, {})
    assert answer.err.splitlines()[-1].startswith(f"keras-repro: {said_of_it}")


def test_only_earlier_diagnoses_are_replaced(
    times: Path, written: Callable[..., str], launched: Callable[..., Child], here: Path, explaining: Any
) -> None:
    script = written(CHANGES)
    for name in ("run-1", "run-2"):
        launched(script, "fails").folder.rename(here / name)
    Path("results").mkdir()
    Path("results/1").mkdir()
    kept = [Path("results/thesis.txt"), Path("results/1/data.csv")]
    for file in kept:
        file.write_text("years of work")
    answer, _ = explaining("diagnose", "run-1", "run-2", "--run-dir", "results")
    assert answer.code == 2
    assert [file.read_text() for file in kept] == ["years of work"] * 2


# --- files that a run leaves for the next

LEAVES = """
from pathlib import Path
import keras
import numpy as np
from small import X, Y, build

keras.utils.set_random_seed(3)
KEPT = Path(__file__).parent / "kept" / {name!r}
model = build()
{reads}
model.fit(X, y, epochs=2, batch_size=48, verbose=0)
KEPT.parent.mkdir(exist_ok=True)
{writes}
"""
LEFT = {
    "weights": (
        "last.weights.h5",
        "y = Y\nif KEPT.exists():\n    model.load_weights(KEPT)  # reads",
        "model.save_weights(KEPT)",
        "initial_weights",
    ),
    "labels": (
        "labels.npy",
        "y = np.load(KEPT) if KEPT.exists() else Y  # reads",
        "np.save(KEPT, model.predict(X, verbose=0))",
        "data_values",
    ),
}


@pytest.mark.parametrize("kind", LEFT)
def test_file_left_by_the_first_run_is_the_cause(
    kind: str, written: Callable[..., str], explaining: Any
) -> None:
    name, reads, writes, cause = LEFT[kind]
    script = written(LEAVES.format(name=name, reads=reads, writes=writes))
    answer, result = explaining("verify", "--explain", "--runs", "2", "--run-dir", "runs", script)
    assert (answer.code, answer.err) == (1, "")
    divergence = result["divergence"]
    assert (divergence["cause"], divergence["diagnosis"]["trainings"] <= 4) == (cause, True)
    assert "reads" in Path(script).read_text().splitlines()[divergence["source"]["line"] - 1]
    # The line is in the user's own file, not in the copy.
    assert Path(divergence["source"]["file"]).resolve() == Path(script).resolve()
    assert divergence["fix"] == f"delete {name} before each run, or read a file that no run writes"
    assert any(e.startswith(f"{name}: line ") for e in divergence["evidence"])
    assert not Path("runs/diagnosis/copies").exists()
    # The hash seeds differed, but they are not the cause, which is known.
    assert not any("hash seed" in text for text in [*result["notes"], *answer.out.splitlines()[2:]])


# --- verify stops a run that diverges

CLEANS_UP = """
import atexit
import os
import threading
import keras
from small import X, Y, build

run = str(os.getpid())
atexit.register(lambda: print("atexit", flush=True))
class Late(threading.Thread):
    def run(self):
        done.wait()
        print("thread", flush=True)
done = threading.Event()
Late().start()
try:
    build().fit(X, Y, epochs=4, batch_size=48, verbose=0)
    print("trained", flush=True)
finally:
    done.set()
    print("finally", flush=True)
"""


def test_diverging_run_is_stopped_and_cleans_up(written: Callable[..., str], verified: Any) -> None:
    verification = verified(written(CLEANS_UP), runs=3)
    assert [o.code for o in verification.outcomes] == [0, 75]
    assert (verification.comparison.verdict, len(verification.comparison.runs)) == ("diverged", 2)
    first, second = ((Path("runs") / name / "output.txt").read_text().split() for name in ("run-1", "run-2"))
    assert sorted(first) == ["atexit", "finally", "thread", "trained"]
    assert sorted(second) == ["atexit", "finally", "thread"]
    kinds = [r["kind"] for r in open_ledger("runs/run-2").records()]
    assert kinds.count("epoch") == 0
    assert (
        "run 2 was stopped where it diverged: --keep-going lets all runs finish"
        in verification.comparison.notes
    )


WAITS_FOR_EVER = """
import atexit
import queue
import threading

from small import X, Y, build

atexit.register(lambda: print("atexit", flush=True))
batches = queue.Queue(maxsize=2)

def load():
    for start in range(0, 96, 16):
        batches.put((X[start:start + 16], Y[start:start + 16]))

producers = [threading.Thread(target=load) for _ in range(2)]
for producer in producers:
    producer.start()
model = build()
for _ in range(12):
    model.train_on_batch(*batches.get())
print("trained", flush=True)
"""


def test_diverging_run_whose_threads_wait_for_ever_ends(written: Callable[..., str], verified: Any) -> None:
    verification = verified(written(WAITS_FOR_EVER))
    assert [o.code for o in verification.outcomes] == [0, 75]
    outputs = [(Path("runs") / name / "output.txt").read_text().split() for name in ("run-1", "run-2")]
    assert outputs == [["trained", "atexit"], ["atexit"]]
    *_, last = open_ledger("runs/run-2").records()
    assert (last["kind"], last["status"], last["code"]) == ("exit", "stopped", 75)


def test_keep_going_lets_all_runs_finish(written: Callable[..., str], verified: Any) -> None:
    verification = verified(written(CLEANS_UP), runs=3, keep_going=True)
    assert [o.code for o in verification.outcomes] == [0, 0, 0]
    assert (verification.comparison.verdict, len(verification.comparison.runs)) == ("diverged", 3)
    for number in (1, 2, 3):
        output = (Path("runs") / f"run-{number}" / "output.txt").read_text()
        assert sorted(output.split()) == ["atexit", "finally", "thread", "trained"]
        assert [r["kind"] for r in open_ledger(f"runs/run-{number}").records()].count("epoch") == 4
