"""Fixes tried in real runs: verified, refused since they take randomness away, failing, and of a race."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command_table import tree
from conftest import SCRIPTS, Answer
from forkserver import ForkServer

from keras_repro.processes.task import Task, Watcher
from keras_repro.root_cause.explanation import Explanation, FurtherSource
from keras_repro.root_cause.fix_trial import FixTrial
from keras_repro.source_code.statements import statement_text
from keras_repro.utils.source_line import SourceLine
from keras_repro.workflows.diagnose import diagnose
from keras_repro.workflows.diagnosing_runs import DiagnosingRuns
from keras_repro.workflows.try_fix import try_fix

NOISY = """
import random
import keras
import numpy as np
import tensorflow as tf
from small import X, Y, build

random.seed(3)
np.random.seed(3)


class Noisy(keras.utils.PyDataset):
    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng()
        self.order = np.arange(len(X))
        self.cuts = [12, 24, 36]

    def __len__(self):
        return 4

    def __getitem__(self, number):
        rows = np.split(self.order[:48], self.cuts)[number]
        noise = self.rng.normal(size=X[rows].shape)
        return (X[rows] + noise).astype("float32"), Y[rows]

    def on_epoch_end(self):
        self.rng.shuffle(self.order)


def frozen(x, y):
    return x + tf.random.stateless_normal(tf.shape(x), seed=(4, 2)), y


build().fit(Noisy(), epochs=2, verbose=0)
data = tf.data.Dataset.from_tensor_slices((X[:48], Y[:48])).batch(12)
data = data.map(lambda x, y: (x + tf.random.normal(tf.shape(x)), y))
build().fit(data, epochs=2, verbose=0)
"""
GENERATOR = "self.rng = np.random.default_rng()"
SEEDED = "self.rng = np.random.default_rng(42)"
NOISE = "noise = self.rng.normal(size=X[rows].shape)"
ORDER = "self.rng.shuffle(self.order)"
MAPPED = "data = data.map(lambda x, y: (x + tf.random.normal(tf.shape(x)), y))"


class Tried:
    """A script that was run once in a diagnosing process, and the fixes that are tried on it."""

    def __init__(self, folder: Path, text: str, server: ForkServer) -> None:
        self.script, self.folder, self.server = folder / "script.py", folder / "runs", server
        self.script.write_text(text)
        (folder / "small.py").write_text((SCRIPTS / "small.py").read_text())
        self.task = Task(script=str(self.script))
        self.start = partial(DiagnosingRuns, launcher=server.launcher, watcher=Watcher())
        self.start(task=self.task, folder=self.folder).run(0)

    def line(self, text: str) -> SourceLine:
        lines = self.script.read_text().splitlines()
        (number,) = [n for n, line in enumerate(lines, start=1) if line.strip() == text]
        code = statement_text(str(self.script), number)
        return SourceLine(file=str(self.script), line=number, code=code)

    def fix(self, line: str, fix: str, *also: str, race: bool = False) -> Explanation:
        """Return the explanation after a fix of a line was tried, with a seed in further lines."""
        explanation = Explanation(
            cause="data_values",
            place="fit 1, epoch 1, step 1",
            fit=0,
            epoch=0,
            step=0,
            source=self.line(line),
            fix=fix,
            also=tuple(FurtherSource(source=self.line(a), fix=SEEDED) for a in also),
            race=race,
        )
        launcher = self.server.launcher
        return try_fix(self.task, explanation, None, folder=self.folder, launcher=launcher)

    def trial(self, line: str, fix: str, *also: str, race: bool = False) -> FixTrial:
        tried = self.fix(line, fix, *also, race=race).fix_tried
        assert tried is not None
        return tried


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory, forkserver: ForkServer) -> Tried:
    return Tried(tmp_path_factory.mktemp("noisy"), NOISY, forkserver)


def test_fix_is_verified_in_a_copy(noisy: Tried) -> None:
    project = noisy.script.parent
    before = {name: digest for name, digest in tree(project).items() if not name.startswith("runs")}
    explanation = noisy.fix(GENERATOR, SEEDED)
    assert explanation.fix == SEEDED
    assert explanation.fix_tried == FixTrial(
        result="verified",
        reason="two runs with it agree up to fit 1, epoch 1, step 1",
        trainings=2,
    )
    later = "with the fix, runs diverge later, at fit 2, epoch 1, step 1: diagnose them again"
    assert explanation.evidence == (later,)
    assert {n: d for n, d in tree(project).items() if not n.startswith("runs")} == before
    assert sorted(p.name for p in noisy.folder.iterdir() if p.is_dir()) == ["1", "fixed-1", "fixed-2"]


# What makes the runs agree and ruins the training: the line, the fix, what is lost.
REFUSED = [
    pytest.param(NOISE, "noise = 0.1", "noise has 1 in place of", id="constant"),
    pytest.param(
        NOISE,
        "noise = np.random.default_rng(42).normal(size=X[rows].shape)",
        "and would draw the same numbers each time",
        id="generator in each call",
    ),
    pytest.param(ORDER, "self.order = np.arange(len(X))[::-1]", "self.order has 1 in place", id="same order"),
    pytest.param(
        NOISE,
        "np.random.seed(0); noise = np.random.normal(size=X[rows].shape)",
        "and would draw the same numbers each time",
        id="seed in each call",
    ),
    pytest.param(
        MAPPED,
        "data = data.map(lambda x, y: (x + tf.random.stateless_normal(tf.shape(x), seed=(4, 2)), y))",
        "stateless_normal would draw the same numbers each time",
        id="stateless in a map",
    ),
    pytest.param(
        MAPPED,
        "data = data.map(frozen)",
        "the epochs have 1 in place of 2 different orders or values of their batches",
        id="stateless in a function",
    ),
]


@pytest.mark.parametrize(("line", "fix", "reason"), REFUSED)
def test_fix_that_takes_randomness_away_is_refused(noisy: Tried, line: str, fix: str, reason: str) -> None:
    explanation = noisy.fix(line, fix, GENERATOR)
    tried = explanation.fix_tried
    assert tried is not None
    assert (tried.result, reason in tried.reason) == ("refused", True), tried
    assert tried.reason.startswith("it takes randomness away: ")
    # It is not offered as the fix.
    assert str(explanation.fix).startswith("make a generator with a seed once")


def test_fix_that_changes_nothing_is_reported(noisy: Tried) -> None:
    tried = noisy.trial("self.cuts = [12, 24, 36]", "self.cuts = [12, 24, 35]")
    assert (tried.result, tried.trainings) == ("still diverges", 2)
    assert tried.reason == "runs with it diverge at fit 1, epoch 1, step 1"


def test_script_that_fails_with_the_fix_is_reported(noisy: Tried) -> None:
    tried = noisy.trial(GENERATOR, "self.rng = np.random.default_rng('x')")
    assert (tried.result, tried.trainings) == ("failed", 1)
    assert tried.reason.startswith("the script with the fix fails: TypeError: SeedSequence expects int")


@pytest.mark.parametrize("fix", ["self.rng = np.random.default_rng(42", "self.rng = rng(42)", "seed it"])
def test_fix_that_is_no_code_is_not_applicable(noisy: Tried, fix: str) -> None:
    tried = noisy.trial(GENERATOR, fix)
    assert (tried.result, tried.trainings) == ("not applicable", 0)


RACE = """
from concurrent.futures import ThreadPoolExecutor, as_completed
import keras
import numpy as np
from small import X, Y, build

keras.utils.set_random_seed(3)
with ThreadPoolExecutor(4) as pool:
    jobs = [pool.submit(np.multiply, X, i) for i in range(4)]
    parts = [job.result() for job in as_completed(jobs)]
build().fit(np.concatenate(parts), np.tile(Y, 4)[: 4 * len(X)], epochs=1, verbose=0)
"""


def test_race_is_tried_five_times_and_never_verified(tmp_path: Path, forkserver: ForkServer) -> None:
    race = Tried(tmp_path, RACE, forkserver)
    line = "parts = [job.result() for job in as_completed(jobs)]"
    tried = race.trial(line, "parts = [job.result() for job in jobs]", race=True)
    assert tried == FixTrial(
        result="not seen again", reason="in 5 runs whose threads switch often", trainings=5
    )


def test_fix_in_a_module_that_is_not_copied_is_not_tried(noisy: Tried, tmp_path: Path) -> None:
    module = tmp_path / "installed.py"
    module.write_text(f"{GENERATOR}\n")
    source = SourceLine(file=str(module), line=1, code=GENERATOR)
    explanation = Explanation(cause="data_values", source=source, fix=SEEDED)
    launcher = noisy.server.launcher
    tried = try_fix(noisy.task, explanation, None, folder=noisy.folder, launcher=launcher).fix_tried
    assert tried == FixTrial(result="not tried", reason=f"{module} is not in the folders that are copied")
    assert module.read_text() == f"{GENERATOR}\n"


UNSEEDED = """
import keras
import numpy as np

x = np.random.rand(64, 3).astype("float32")
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(x, x.sum(axis=1), epochs=2, batch_size=16, verbose=0)
"""


@pytest.fixture
def explained(
    command: Callable[..., Answer], forkserver: ForkServer, monkeypatch: pytest.MonkeyPatch, here: Path
) -> Callable[..., tuple[Answer, dict[str, Any]]]:
    """Run `keras-repro` on the unseeded script; return its answer and the divergence."""
    for function in (diagnose, try_fix):
        forked = partial(function, launcher=forkserver.launcher)
        monkeypatch.setattr(f"keras_repro.cli.commands.diagnose.{function.__name__}", forked)
    (here / "train.py").write_text(UNSEEDED)

    def run(*arguments: str) -> tuple[Answer, dict[str, Any]]:
        answer = command(*arguments, "--force", "--json", "answer.json")
        return answer, json.loads((here / "answer.json").read_text())["divergence"]

    return run


def test_explanation_ends_on_the_fix_and_its_trial(
    explained: Callable[..., tuple[Answer, dict[str, Any]]], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, divergence = explained("verify", "train.py", "--runs", "2", "--explain", "--run-dir", "runs")
    assert (answer.code, answer.err) == (1, "")
    assert divergence["fix"] == "keras.utils.set_random_seed(42)  # first of all"
    diagnosis = divergence["diagnosis"]
    tried = f"verified: two runs with it agree up to {diagnosis['place']}"
    assert diagnosis["fix_tried"] == {"result": "verified", "reason": tried[10:], "trainings": 2}
    assert "Keras shuffles arrays alike in each epoch" in " ".join(divergence["evidence"])
    lines = answer.out.splitlines()
    assert [line.partition(":")[0] for line in lines[-5:]] == ["cause", "line", "fix", "also", "tried"]
    assert lines[-1] == f"tried:   {tried}"
    progress = [line for line in lines if line.startswith("trying the fix: ")]
    assert [line.partition(", about ")[0] for line in progress] == [
        "trying the fix: training 1 of 2",
        "trying the fix: training 2 of 2",
    ]
    assert all(", about " in line for line in progress)
    assert (here / "train.py").read_text() == UNSEEDED
    # By default, only what takes little time is tried.
    monkeypatch.setattr("keras_repro.cli.commands.diagnose._LITTLE_TIME", 1e-9)
    answer, divergence = explained("diagnose", "runs/run-1", "runs/run-2", "--run-dir", "results")
    assert divergence["diagnosis"]["fix_tried"]["result"] == "not tried"
    assert answer.out.splitlines()[-1].startswith("tried:   not tried: it would take about ")
    assert answer.out.splitlines()[-1].endswith(": --try-fix tries it")


def test_fix_is_not_tried_if_that_is_not_wanted(
    explained: Callable[..., tuple[Answer, dict[str, Any]]],
) -> None:
    verify = ("verify", "train.py", "--runs", "2", "--explain", "--no-try-fix")
    answer, divergence = explained(*verify)
    assert divergence["diagnosis"]["fix_tried"] is None
    assert answer.out.splitlines()[-1].startswith("also: ")


@pytest.mark.parametrize("options", [[], ["--vary", "locale"], ["--vary", "locale", "--explain"]])
def test_trial_needs_a_diagnosis(command: Callable[..., Answer], options: list[str]) -> None:
    answer = command("verify", "train.py", "--try-fix", *options)
    assert (answer.code, "--try-fix needs --explain, without --vary" in answer.err) == (2, True)
