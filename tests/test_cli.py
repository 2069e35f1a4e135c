"""The command line: output, exit codes and errors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SCRIPTS, TESTS, Answer

from keras_repro.cli.arguments import build_parsers
from keras_repro.ledger.reader import open_ledger
from keras_repro.ledger.schema import Header, Record
from keras_repro.ledger.writer import LedgerWriter

BREAST_CANCER = TESTS.parent / "examples" / "breast_cancer.py"
CLI = ("-m", "keras_repro.cli")


def refused(answer: Answer, message: str, *, lines: int = 1) -> None:
    """Assert on one line on standard error, exit code 2, and no traceback of keras_repro."""
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith(f"keras-repro: {message}"), answer.err
    assert len(answer.err.splitlines()) == lines
    assert str(TESTS.parent / "keras_repro") not in answer.err


def make_run(folder: Path, *, weights: str = "00", coverage: str = "smr", **extra: Any) -> Path:
    with LedgerWriter.create(folder, Header(coverage=coverage, created=folder.name)) as ledger:
        ledger.append(Record(kind="fit", fit=0, sections={"fit": "00"}))
        tensors = {"weights": {"layers/0/kernel": weights}}
        ledger.append(Record(kind="start", fit=0, sections={"weights": weights}, tensors=tensors))
        ledger.append(Record(kind="exit", extra={"status": "finished", **extra}))
    return folder


# --- verify


def test_example_is_identical_under_any_hash_seed(
    process: Any, here: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Outside the folder that the first verify watches for leftover files.
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    verify = (*CLI, "verify", BREAST_CANCER)
    first = process(*verify, "--runs", "3", "--json", "out.json", PYTHONHASHSEED="1")
    # Its children get the caller's hash seed instead of one that `verify` chose.
    more = ("--runs", "2", "--json", elsewhere / "out.json", "--run-dir", elsewhere, "--keep-hash-seed")
    second = process(*verify, *more, PYTHONHASHSEED="99")
    answers = [started.communicate() for started in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), answers
    result, again = (json.loads((folder / "out.json").read_text()) for folder in (here, elsewhere))
    assert {"format", "verdict", "runs", "divergence", "notes"} <= set(result)
    assert (result["format"], result["verdict"], result["divergence"]) == (1, "identical", None)
    assert (len(result["runs"]), len(again["runs"])) == (3, 2)
    (fingerprint,) = {run["fingerprint"] for run in result["runs"] + again["runs"]}
    assert fingerprint.startswith("kr1-smr-")
    ledgers = [open_ledger(run["ledger"]) for run in result["runs"] + again["runs"]]
    assert [sum(r.kind == "epoch" for r in ledger.typed_records()) for ledger in ledgers] == [50] * 5
    seeds = [s["achieved"] for f in ledgers for s in f.header["switches"] if s["name"] == "hash_seed"]
    assert seeds == [1, 2, 3, 99, 99]

    out, err = answers[0]
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == f"3 runs of: {BREAST_CANCER}"
    assert lines[1] == "(observed: the script runs unchanged, but each run gets its own hash seed)"
    assert [line.split(":")[0] for line in lines[2:5]] == ["run 1/3", "run 2/3", "run 3/3"]
    assert lines[5].split() == ["epoch", "loss", "accuracy", "run", "1", "run", "2", "run", "3"]
    assert [line.split()[0] for line in lines[6:57]] == [str(n + 1) for n in range(50)] + ["evaluation"]
    assert lines[-1] == (
        f"identical: 3 runs, bit for bit, TensorFlow 2.21.0, Keras 3.15.1, fingerprint {fingerprint}"
    )


def test_pinned_script_is_identical_and_modules_take_arguments_and_caps(
    process: Any, written: Any, here: Path
) -> None:
    # No seed, a set of words, and the machine's thread count: --enforce pins them all.
    written(
        "import sys\nimport keras\nimport tensorflow as tf\nfrom small import X, Y, build\n"
        "print(sys.argv[1:], list({'a', 'b', 'c', 'd', 'e'}), flush=True)\n"
        "model = build(dropout=0.3)\n"
        "noisy = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(96).batch(8)\n"
        "model.fit(noisy, epochs=6, verbose=0)\n",
        "train.py",
    )
    (here / "package").mkdir()
    (here / "package" / "train.py").write_text((here / "train.py").read_text())
    pinned = process(*CLI, "verify", "--runs", "2", "--enforce", "--pin-seed", "7", "train.py")
    capped = process(
        *CLI, "verify", "--runs=2", "--max-epochs", "2", "-m", "package.train", "--max-steps", "3",
        "--json=out.json", "--epochs", "5", "--", "--runs", "9", "--",
    )  # fmt: skip
    (pinned_out, pinned_err), (capped_out, capped_err) = pinned.communicate(), capped.communicate()
    assert pinned.returncode == 0, pinned_out + pinned_err
    assert pinned_out.splitlines()[1] == "(enforced: all switches pinned)"
    headers = [open_ledger(here / f".keras_repro/train-1/run-{n}").header for n in (1, 2)]
    assert [(h["mode"], h["seed"]) for h in headers] == [("enforced", 7)] * 2
    for header in headers:
        readings = {s["name"]: s for s in header["switches"]}
        assert readings["hash_seed"]["achieved"] == 7
        assert readings["op_determinism"]["achieved"] is True
        assert {
            name for name, s in readings.items() if s["requested"] is not None and s["ok"] is False
        } == set()
    outputs = [(here / f".keras_repro/train-1/run-{n}/output.txt").read_text() for n in (1, 2)]
    # Without the messages of TensorFlow, which contain the time.
    printed = [[line for line in output.splitlines() if line.startswith("[")] for output in outputs]
    assert printed[0] == printed[1] != []

    # Without a seed the runs diverge; the time of a whole run is still estimated.
    assert capped.returncode == 1, capped_out + capped_err
    result = json.loads((here / "out.json").read_text())
    assert (result["verdict"], result["divergence"]["cause"]) == ("diverged", "initial_weights")
    assert result["divergence"]["epoch"] is None
    assert result["estimated_seconds"] > 0
    lines = capped_out.splitlines()
    assert lines[0] == "2 runs of: -m package.train --epochs 5 --runs 9 --"
    (look,) = (line for line in lines if line.startswith("note: the runs cover only"))
    assert look.startswith(
        "note: the runs cover only the first 2 epochs of each fit and the first 3 steps of each epoch; "
        "the whole training would take about "
    )
    ledger = open_ledger(result["runs"][0]["ledger"])
    assert sum(r.kind == "epoch" for r in ledger.typed_records()) == 2
    (fit,) = (r for r in ledger.typed_records() if r.kind == "fit")
    assert fit.extra["arguments"]["epochs_requested"] == 6
    assert ledger.header["policies"] == {"max_epochs": 2, "max_steps": 3}
    output = (ledger.path.parent / "output.txt").read_text()
    assert "['--epochs', '5', '--runs', '9', '--'] [" in output


@pytest.mark.parametrize(
    "arguments", [("built",), ("unbuilt",), ("subclassed",), ("built", "others")], ids="-".join
)
def test_pinned_models_are_identical(command: Any, here: Path, arguments: tuple[str, ...]) -> None:
    """Unpinned, none of them is reproducible (tests/workflows/test_verify.py)."""
    answer = command("verify", "--runs", "2", "--enforce", SCRIPTS / "no_seed.py", *arguments)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[-1].startswith("identical: 2 runs, bit for bit, TensorFlow ")


def test_divergence_is_described_and_exits_with_1(command: Any, here: Path) -> None:
    answer = command(
        "verify", SCRIPTS / "seeded.py", "--runs", 2, "labels", "--epochs", 2, "--json", "o.json"
    )
    assert answer.code == 1
    assert answer.err == ""
    lines = answer.out.splitlines()
    assert lines[0] == f"2 runs of: {SCRIPTS / 'seeded.py'} labels --epochs 2"
    assert lines[-3] == "cause: data_values"
    assert lines[-2].startswith("also: layers/")
    assert lines[-1].startswith("diverged: at epoch 1/2: weights differ, first in layers/0/")
    assert lines[-1].endswith("; y given to fit differs")
    result = json.loads((here / "o.json").read_text())
    first_difference = result["divergence"]
    assert {"fit", "epoch", "step", "section", "tensor", "cause", "tensors"} <= set(first_difference)
    assert (result["format"], result["verdict"]) == (1, "diverged")
    assert (
        first_difference["fit"],
        first_difference["epoch"],
        first_difference["section"],
        first_difference["cause"],
    ) == (
        0,
        0,
        "weights",
        "data_values",
    )
    assert {"section", "tensor"} <= set(first_difference["tensors"][0])
    assert [Path(run["ledger"]).exists() for run in result["runs"]] == [True, True]


@pytest.mark.parametrize(
    ("line", "cause", "explanation"),
    [
        (
            "x, y = X, Y",
            "data_order",
            "the batch differs: the epoch has the same samples in another order",
        ),
        (
            "x, y = X + np.random.default_rng().normal(size=X.shape), Y",
            "data_values",
            "the batch differs, and over the epoch the samples or their values differ",
        ),
    ],
)
def test_first_differing_batch_is_reported_with_steps(
    command: Any, written: Any, here: Path, line: str, cause: str, explanation: str
) -> None:
    script = written(
        f"import keras, numpy as np, tensorflow as tf\nfrom small import X, Y, build\n{line}\n"
        "keras.utils.set_random_seed(1)\nmodel = build(dropout=None)\n"
        "data = tf.data.Dataset.from_tensor_slices((x.astype('float32'), y))\n"
        "model.fit(data.batch(8), epochs=1, shuffle=False, verbose=0)\n"
        "order = np.random.default_rng().permutation(96)\n"
        "x, y = (x[order], y[order]) if x is X else (x, y)\n"
        "data = tf.data.Dataset.from_tensor_slices((x.astype('float32'), y))\n"
        "model.fit(data.batch(8), epochs=2, shuffle=False, verbose=0)\n"
    )
    answer = command("verify", script, "--every", "step", "--runs", 3, "--json", "o.json")
    assert (answer.code, answer.err) == (1, "")
    result = json.loads((here / "o.json").read_text())
    fit = 1 if cause == "data_order" else 0
    first_difference = result["divergence"]
    assert (
        first_difference["fit"],
        first_difference["epoch"],
        first_difference["step"],
        first_difference["cause"],
    ) == (fit, 0, 0, cause)
    assert first_difference["explanation"] == explanation
    assert answer.out.splitlines()[-1].endswith(f"; {explanation}")
    assert ", by step 1: weights differ" in answer.out
    # The second run was stopped there, and no third one was started.
    assert "note: run 2 was stopped where it diverged: --keep-going lets all runs finish" in answer.out
    assert len(result["runs"]) == 2


def test_leftovers_are_listed(command: Any) -> None:
    answer = command("verify", SCRIPTS / "resumes.py", "--runs", 2)
    assert answer.code == 1
    assert "note: a run left files that the next run could read: last.weights.h5\n" in answer.out


def test_existing_runs_are_replaced_only_with_force(command: Any, written: Any, here: Path) -> None:
    verify = ("verify", written("import keras\n"), "--runs", 2, "--run-dir", "kept")
    earlier = open_ledger(make_run(here / "kept" / "run-1")).digest
    refused(
        command(*verify), "kept holds runs already: choose another folder, or overwrite them with --force"
    )
    assert open_ledger(here / "kept" / "run-1").digest == earlier
    refused(command(*verify, "--force"), "run 1: no Keras training was observed")
    assert open_ledger(here / "kept" / "run-1").status == "finished"


def test_traceback_of_the_script_is_shown(command: Any, written: Any, here: Path) -> None:
    written("def prepare():\n    raise ValueError('no such column')\nprepare()\n")
    answer = command("verify", "script.py")
    refused(
        answer,
        "run 1 failed with exit code 1; ledger and output kept in .keras_repro/script-1/run-1",
        lines=7,
    )
    assert answer.err.splitlines()[0] == "Traceback (most recent call last):"
    assert answer.err.splitlines()[-2] == "ValueError: no such column"
    assert answer.out.splitlines()[-1].startswith("run 1/3: ")


# --- interruption: Ctrl-C and SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_verify_ends_its_child_and_keeps_the_ledger(
    process: Any, written: Any, here: Path, number: signal.Signals
) -> None:
    # The child waits in Python: a signal may crash TensorFlow's own code, which is not tested here.
    written(
        "import os, time\nimport keras\nfrom small import X, Y, build\n"
        "class Wait(keras.callbacks.Callback):\n"
        "    def on_epoch_begin(self, epoch, logs=None):\n"
        "        if epoch == 2:\n            open('part', 'w').write(str(os.getpid()))\n"
        "            os.rename('part', 'pid')\n            time.sleep(300)\n"
        "build().fit(X, Y, epochs=9, callbacks=[Wait()], verbose=0)\n"
    )
    verify = process(*CLI, "verify", "script.py")
    until(lambda: (here / "pid").exists() or verify.poll() is not None)
    verify.send_signal(number)
    _, err = verify.communicate()
    assert verify.returncode == 2
    assert err == (
        f"keras-repro: {number.name}: ending the child processes\n"
        "keras-repro: interrupted: the child process has ended, "
        "its records are kept in .keras_repro/script-1\n"
    )
    with pytest.raises(ProcessLookupError):
        os.kill(int((here / "pid").read_text()), 0)
    ledger = open_ledger(here / ".keras_repro" / "script-1" / "run-1")
    assert ledger.status == "stopped"
    kinds = [record.kind for record in ledger.typed_records()]
    assert kinds == ["fit", "start", "birth", "epoch", "epoch", "end", "exit"]
    assert ledger.notes == []


# --- compare


def test_compare_has_its_exit_codes_and_json(command: Any, here: Path) -> None:
    a, b = make_run(here / "a"), make_run(here / "b")
    other = make_run(here / "c", weights="11")
    same = command("compare", a, b / "ledger.jsonl", "--json", "same.json")
    assert (same.code, same.err) == (0, "")
    assert same.out.splitlines()[-1].startswith("identical: 2 runs, bit for bit, fingerprint kr1-smr-")
    result = json.loads((here / "same.json").read_text())
    assert (result["format"], result["verdict"], result["divergence"]) == (1, "identical", None)
    assert len({run["fingerprint"] for run in result["runs"]}) == 1

    diverged = command("compare", a, other, "--json", "diverged.json")
    assert (diverged.code, diverged.err) == (1, "")
    assert (
        "diverged: before the first epoch: initial weights differ, first in layers/0/kernel" in diverged.out
    )
    result = json.loads((here / "diverged.json").read_text())
    assert result["divergence"]["tensors"] == [{"section": "weights", "tensor": "layers/0/kernel"}]

    unlike = command("compare", a, make_run(here / "d", coverage="sm"), "--json", "unlike.json")
    refused(unlike, "incomparable: their fingerprints cover different things: ")
    assert json.loads((here / "unlike.json").read_text())["verdict"] == "incomparable"


def test_report_is_written_as_markdown_and_json(command: Any, here: Path) -> None:
    run = make_run(here / "a")
    answer = command("report", run, "--json", "page.json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("## Reproducibility Information\n\n- **Random Seed**: not recorded\n")
    (page,) = json.loads((here / "page.json").read_text())["runs"]
    assert page["information"]["Random Seed"] is None
    assert page["fingerprint"] == open_ledger(run).fingerprint
    answer = command("report", run, "-o", "page.md", "--json", "page.json")
    assert (answer.code, answer.out) == (0, "")
    assert (here / "page.md").read_text().startswith("## Reproducibility Information\n")
    refused(command("report", run, "--json", here / "nowhere" / "page.json"), "cannot write ")


def test_unreadable_ledgers_are_errors(command: Any, here: Path) -> None:
    good = make_run(here / "good") / "ledger.jsonl"
    text = good.read_bytes()
    lines = text.splitlines(keepends=True)
    changed = {
        "empty": (b"", "is empty: the run ended before its first record"),
        "header only": (lines[0], None),
        "damaged": (text.replace(b"layers/0", b"layers/1"), "is damaged at line 3"),
        "missing": (lines[0] + lines[2], "is damaged at line 2"),
        "newer": (text.replace(b'"format":1', b'"format":2', 1), "is damaged at line 1"),
        "no ledger": (b"epoch,loss\n1,0.5\n", "is damaged at line 1"),
        "bytes": (bytes(range(256)) * 50, "is damaged at line 1"),
    }
    for name, (content, message) in changed.items():
        path = here / f"{name}.jsonl"
        path.write_bytes(content)
        for pair in ((good, path), (path, good)):
            answer = command("compare", *pair)
            assert message is None or f"{path} {message}" in answer.err, answer.err
            refused(answer, "")
    torn = here / "torn.jsonl"
    torn.write_bytes(text[:-20])
    answer = command("compare", good, torn)
    assert answer.code == 1
    assert f"note: {torn}: the last line is incomplete and is ignored" in answer.out
    refused(command("compare", good, here / "none"), f"no ledger at {here / 'none'}")
    refused(command("compare", good, here), f"{here} holds no ledger.jsonl: give a run folder or a ledger")


def test_hostile_text_in_a_ledger_is_escaped(command: Any, here: Path) -> None:
    evil = "kernel\x1b]0;owned\x07\x1b[2J\r\nidentical: 2 runs [bold red]all well[/] \u202e\u2066 :smile:"
    for name, digest in (("a", "00"), ("b", "11")):
        with LedgerWriter.create(here / name, Header(coverage="smr")) as ledger:
            tensors = {"weights": {evil: digest}, evil: {evil: digest}}
            sections = {"weights": digest, evil: digest}
            shapes = {evil: [evil, [1], evil]}
            start = Record(kind="start", fit=0, sections=sections, tensors=tensors, shapes=shapes)
            ledger.append(start)
            metrics = {evil: 0.5, "loss": evil}
            ledger.append(Record(kind="epoch", fit=0, epoch=0, sections=sections, metrics=metrics))
    answer = command("compare", "a", "b")
    assert answer.code == 1
    for output in (answer.out, answer.err):
        assert not {c for c in output if c != "\n" and not c.isprintable()}
    assert r"kernel\x1b]0;owned\x07\x1b[2J\x0d\x0aidentical: 2 runs [bold red]all well[/]" in answer.out
    assert answer.out.splitlines()[-1].startswith("diverged: ")
    assert not [line for line in answer.out.splitlines() if line.startswith("identical")]


# --- refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "the following arguments are required: COMMAND (see 'keras-repro --help')"),
        (("frobnicate",), "argument COMMAND: invalid choice: 'frobnicate'"),
        (("verify",), "no script: give the path of a script, or -m and a module"),
        (("verify", "-m"), "-m needs the name of a module"),
        (("verify", "none.py"), "no script at none.py"),
        (("run", "none.py"), "no script at none.py"),
        (("verify", "a.ipynb"), "a.ipynb is a notebook: call trainer.verify(...) of kr.ReproducibleTrainer"),
        (("verify", "--frob", "a.py"), "unknown option --frob (see 'keras-repro verify --help')"),
        (("verify", "-x", "a.py"), "unknown option -x (see 'keras-repro verify --help')"),
        (("verify", "--run", "5", "a.py"), "unknown option --run (see 'keras-repro verify --help')"),
        (("run", "--runs", "5", "a.py"), "unknown option --runs (see 'keras-repro run --help')"),
        (
            ("verify", "a.py", "--runs", "1"),
            "argument --runs: needs a whole number from 2, received '1' (see 'keras-repro verify --help')",
        ),
        (
            ("verify", "a.py", "--runs", "99999999999999"),
            "argument --runs: needs a whole number up to 10000, received '99999999999999'",
        ),
        (("run", "a.py", "--pin-seed", "4294967296"), "argument --pin-seed: needs a whole number up to 4294"),
        (("run", "a.py", "--max-steps", "9" * 5000), "argument --max-steps: needs a whole number up to 9223"),
        (("verify", "a.py", "--max-epochs", "x"), "argument --max-epochs: needs a whole number from 1"),
        (("verify", "a.py", "--runs"), "argument --runs: expected one argument"),
        (
            ("verify", "a.py", "--every", "steps"),
            "argument --every: needs 'epoch', 'step' or a whole number of steps from 1, received 'steps'",
        ),
        (("run", "a.py", "--every", "0"), "argument --every: needs 'epoch', 'step' or a whole number"),
        (("compare", "a"), "the following arguments are required: RUN (see 'keras-repro compare --help')"),
        (("compare", "a", "b", "--frob"), "unrecognized arguments: --frob"),
        (("compare", "none", "none"), "no ledger at none"),
    ],
)
def test_usage_errors(command: Any, arguments: tuple[str, ...], message: str) -> None:
    answer = command(*arguments)
    refused(answer, message)
    assert answer.out == ""


def test_missing_module_is_an_error(command: Any, here: Path) -> None:
    answer = command("verify", "-m", "none.such")
    refused(answer, f"no module none.such in {here} or among the installed packages")


def test_unwritable_output_is_reported_before_the_training(command: Any, written: Any, here: Path) -> None:
    script = written("open('started', 'w')\n")
    (here / "file").write_text("")
    for option, place, message in (
        ("--json", "none/out.json", "cannot write none/out.json: No such file or directory"),
        ("--json", ".", "cannot write .: it is a folder. Give a file name"),
        ("--run-dir", "file", "run folder file is a file: choose another name"),
        ("--run-dir", "/proc/none", "cannot make run folder /proc/none: No such file or directory"),
    ):
        refused(command("verify", script, option, place), message)
    refused(command("run", script, "--run-dir", "file"), "run folder file is a file: choose another name")
    assert not (here / "started").exists()


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A read-only working folder, entered as user nobody because root may write anywhere."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "script.py").write_text("import keras\n")
        folder.chmod(0o555)
        monkeypatch.chdir(folder)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if is_root:
                os.seteuid(0)
            folder.chmod(0o755)


def test_read_only_folder_is_an_error(command: Any, read_only: Path) -> None:
    refused(command("verify", "script.py"), "cannot make a run folder in .keras_repro: Permission denied")
    refused(command("verify", "script.py", "--run-dir", "x"), "cannot make run folder x: Permission denied")
    refused(command("run", "script.py", "--run-dir", "x"), "cannot make run folder x: Permission denied")


def test_help_and_version_are_printed(command: Any, capfd: pytest.CaptureFixture[str]) -> None:
    outputs = []
    for arguments in (["--version"], ["--help"], ["verify", "--help"], ["compare", "--help"]):
        with pytest.raises(SystemExit) as ended:
            command(*arguments)
        assert ended.value.code == 0
        outputs.append(capfd.readouterr().out)
    assert outputs[0] == "keras-repro 0.1.0\n"
    assert "run any keras training twice" in outputs[1].lower()
    assert "usage: keras-repro verify [OPTIONS] (SCRIPT | -m MODULE) [ARGUMENTS OF THE SCRIPT]" in outputs[2]


def test_help_lines_are_short() -> None:
    _, commands = build_parsers()
    lines = [parser.description for parser in commands.values()]
    lines += [action.help for parser in commands.values() for action in parser._actions if action.help]
    assert len(lines) > 40
    assert [line for line in lines if len(line) > 70 or not line[0].islower()] == []


def test_package_runs_as_a_module(process: Any) -> None:
    for module in ("keras_repro", "keras_repro.cli"):
        with process("-m", module, "--version") as started:
            assert started.stdout.read() == "keras-repro 0.1.0\n"
        assert started.returncode == 0


# --- run


def test_run_records_a_pinned_training(process: Any, here: Path) -> None:
    run = [*CLI, "run", "--pin-seed", "7", SCRIPTS / "no_seed.py", "--json", "out.json", "--run-dir", "mine"]
    run += ["--every", "2"]
    started = process(*run)
    out, err = started.communicate()
    assert started.returncode == 0, err
    ledger = open_ledger(here / "mine")
    assert out.splitlines()[-1] == f"recorded in mine, fingerprint {ledger.fingerprint}"
    assert json.loads((here / "out.json").read_text())["fingerprint"] == ledger.fingerprint
    assert (ledger.header["mode"], ledger.header["seed"]) == ("enforced", 7)
    steps = list(ledger.steps(0, 0))
    assert [s.step % 2 for s in steps] == [1] * len(steps) != []
    assert all(s.batch["order"] for s in steps)
    again = process(*run)
    _, err = again.communicate()
    assert again.returncode == 2
    assert err.startswith("keras-repro: run folder mine holds a run already: choose another, or overwrite it")
    assert open_ledger(here / "mine").digest == ledger.digest


def test_training_in_another_process_is_reported(process: Any, here: Path) -> None:
    """Neither the script nor its recording imports Keras."""
    (here / "starts.py").write_text("import subprocess\nsubprocess.run(['true'], check=True)\n")
    _, err = process(*CLI, "verify", "--run-dir", "runs", "starts.py").communicate()
    assert err == (
        "keras-repro: run 1: no training in this process; training in a process that the script starts is "
        "not observed; ledger and output kept in runs/run-1\n"
    )


@pytest.mark.parametrize("closing", ["| true", ">&-", "> /dev/full", ">&- 2>&-", "> /dev/full 2>&1"])
def test_answer_that_nobody_can_read_exits_with_2(here: Path, closing: str) -> None:
    make_run(here / "a")
    make_run(here / "b", weights="11")
    script = f"""
        set -o pipefail
        {sys.executable} -m keras_repro.cli compare a b {closing}
        echo "compare: $?"
        {sys.executable} -m keras_repro.cli report a {closing}
        echo "report: $?"
    """
    variables = os.environ | {"PYTHONPATH": str(TESTS.parent)}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=variables)
    assert done.stdout == "compare: 2\nreport: 2\n"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("error", [ZeroDivisionError("x\x1b[2J\ny"), MemoryError(), RecursionError("deep")])
def test_unexpected_error_exits_with_2_and_keeps_its_traceback(
    command: Any, here: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def command_with_a_mistake(options: object) -> int:
        raise error

    monkeypatch.setattr("keras_repro.cli.commands.compare.command", command_with_a_mistake)
    monkeypatch.setattr(tempfile, "tempdir", str(here))
    answer = command("compare", "a", "b")
    refused(answer, f"internal error: {type(error).__name__}")
    assert "\x1b" not in answer.err
    (kept,) = here.glob("keras-repro-error-*.txt")
    assert answer.err.endswith(f"; the traceback is in {kept}\n")
    assert "in command_with_a_mistake\n    raise error\n" in kept.read_text()
    with monkeypatch.context() as without_temporary_folder:
        without_temporary_folder.setattr(tempfile, "tempdir", str(here / "none"))
        answer = command("compare", "a", "b")
    refused(answer, f"internal error: {type(error).__name__}")
    assert answer.err.endswith("; its traceback could not be kept\n")


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def no_process_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End the processes that a failing test leaves."""
    started: list[subprocess.Popen[Any]] = []
    start = subprocess.Popen.__init__

    def note(self: Any, *args: Any, **kwargs: Any) -> None:
        start(self, *args, **kwargs)
        started.append(self)

    monkeypatch.setattr(subprocess.Popen, "__init__", note)
    yield
    for child in started:
        if child.poll() is None and "forkserver.py" not in str(child.args):
            child.kill()
            child.wait()
