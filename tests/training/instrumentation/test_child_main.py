"""The child process: the script runs as under plain Python, and its calls of Keras are recorded."""

from __future__ import annotations

import py_compile
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import keras
import pytest
import tensorflow
from blake3 import blake3

from keras_repro.errors import LaunchError
from keras_repro.processes.outcome import raise_for_outcome
from keras_repro.processes.protocol import RECORDING_FAILED

TRAINS = "import keras\nfrom small import X, Y, build\nkeras.utils.set_random_seed(1)\n"
MAIN = """\
import os, pickle, sys
import __main__
class Own:
    pass
print(__name__, __file__, sys.argv, __package__, __spec__ and __spec__.name, __doc__)
print(os.path.realpath(sys.path[0]), __main__.Own is Own, type(pickle.loads(pickle.dumps(Own()))) is Own)
print(sorted(name for name in globals() if name.startswith("__")))
print(Own.__module__, isinstance(__builtins__, type(os)), sys.modules["__main__"].__dict__ is globals())
"""


@pytest.mark.parametrize(
    "what", ["script.py", "script.pyc", "app.pyz", "package", "-m package.part", "-m package"]
)
def test_script_is_main_as_in_python(
    launched: Any, written: Any, process: Any, here: Path, what: str
) -> None:
    text = f'"""The script."""\n{MAIN}'
    py_compile.compile(written(text), "script.pyc")
    with ZipFile("app.pyz", "w") as archive:
        archive.writestr("__main__.py", text)
    (here / "package").mkdir()
    for name in ("__init__.py", "part.py", "__main__.py"):
        (here / "package" / name).write_text(text if name != "__init__.py" else "value = 1\n")
    direct = process(*what.split(), "--one", "two words")
    expected, _ = direct.communicate()
    assert direct.returncode == 0
    module = what.removeprefix("-m ") if what.startswith("-m ") else None
    child = launched(None if module else what, "--one", "two words", module=module)
    assert child.outcome.code == 0
    assert child.output == expected


@pytest.mark.parametrize(
    ("lines", "code", "text"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit(-1)", 255, ""),
        ("sys.exit('no data')", 1, "no data\n"),
        ("raise KeyboardInterrupt", 130, "Traceback (most recent call last):"),
        ("import none_such", 1, "ModuleNotFoundError: No module named 'none_such'\n"),
        ("if True print(1)", 1, "    if True print(1)\n            ^^^^^\nSyntaxError: invalid syntax\n"),
    ],
)
def test_exit_codes_are_kept_and_recorded(
    launched: Any, written: Any, lines: str, code: int, text: str
) -> None:
    child = launched(written(f"import sys\n{lines}\n"))
    assert child.outcome.code == code
    assert text in child.output if text else child.output == ""
    assert "instrument" not in child.output
    (record,) = child.records
    assert record["kind"] == "exit"
    assert record["code"] == code
    assert record["status"] == ("finished" if code == 0 else "stopped")


def test_archive_is_recorded_as_the_script(launched: Any, written: Any, here: Path) -> None:
    written("")
    with ZipFile("app.pyz", "w") as archive:
        archive.write("small.py")
        archive.writestr("__main__.py", f"{TRAINS}build().fit(X, Y, verbose=0)\nraise ValueError(X.shape)\n")
    child = launched("app.pyz")
    lines = child.output.splitlines()
    assert lines[-3:] == [
        f'  File "{here / "app.pyz"}/__main__.py", line 5, in <module>',
        "    raise ValueError(X.shape)",
        "ValueError: (96, 6)",
    ]
    header = child.ledger.header
    assert header["command"]["script"] == "app.pyz"
    assert header["environment"]["code"] == blake3(Path("app.pyz").read_bytes()).hexdigest()[:32]
    assert [r["kind"] for r in child.records] == ["fit", "start", "birth", "epoch", "end", "exit"]
    assert child.records[-1]["code"] == 1


def test_script_that_raises_keeps_its_ledger(launched: Any, written: Any, here: Path) -> None:
    child = launched(
        written(
            TRAINS + "def prepare(row):\n    raise ValueError(f'no such row: {row}')\n"
            "build().fit(X, Y, epochs=2, verbose=0)\nprepare(9)\n"
        )
    )
    assert child.outcome.code == 1
    assert child.output == (
        "Traceback (most recent call last):\n"
        f'  File "{here}/script.py", line 7, in <module>\n    prepare(9)\n'
        f'  File "{here}/script.py", line 5, in prepare\n'
        "    raise ValueError(f'no such row: {row}')\nValueError: no such row: 9\n"
    )
    assert [r["kind"] for r in child.records] == ["fit", "start", "birth", "epoch", "epoch", "end", "exit"]
    assert child.records[-1]["error"] == "ValueError"
    assert child.ledger.status == "stopped"
    assert child.ledger.fingerprint.endswith("-partial")
    with pytest.raises(LaunchError) as raised:
        raise_for_outcome(child.outcome, child.folder, name="run 1")
    assert raised.value.output.startswith("Traceback (most recent call last):\n")
    assert str(raised.value) == f"run 1 failed with exit code 1; ledger and output kept in {child.folder}"


def test_hook_of_the_script_gets_its_error(launched: Any, written: Any) -> None:
    hook = "lambda *error: print('mine', traceback.format_exception(*error)[1:])"
    lines = f"import sys, traceback\nsys.excepthook = {hook}\n1 / 0\n"
    child = launched(written(lines))
    assert child.outcome.code == 1
    assert child.output.startswith("mine ['  File ")
    assert "line 3, in <module>" in child.output


def test_failed_fit_is_ended_and_the_next_fit_is_numbered(launched: Any, written: Any) -> None:
    child = launched(
        written(
            TRAINS + "class Broken(keras.callbacks.Callback):\n"
            "    def on_epoch_end(self, epoch, logs=None):\n        raise RuntimeError('disk gone')\n"
            "model = build()\n"
            "try:\n    model.fit(X, Y, epochs=5, callbacks=Broken(), verbose=0)\n"
            "except RuntimeError as error:\n    print(error)\n"
            "model.fit(X, Y, epochs=1, verbose=0)\n"
        )
    )
    assert (child.outcome.code, child.output) == (0, "disk gone\n")
    ended = [(r["fit"], r["status"], r.get("reason")) for r in child.records if r["kind"] == "end"]
    assert ended == [(0, "stopped", "RuntimeError"), (1, "finished", None)]
    assert [r["fit"] for r in child.records if r["kind"] == "epoch"] == [1]
    assert child.ledger.status == "finished"


def test_ledger_of_a_killed_training_can_be_read(launched: Any, written: Any) -> None:
    child = launched(
        written(
            TRAINS + "import os\n"
            "class Kill(keras.callbacks.Callback):\n"
            "    def on_epoch_begin(self, epoch, logs=None):\n"
            "        if epoch == 2:\n            os.kill(os.getpid(), 9)\n"
            "build().fit(X, Y, epochs=5, callbacks=[Kill()], verbose=0)\n"
        )
    )
    assert child.outcome.code == -9
    assert [r["epoch"] for r in child.records if r["kind"] == "epoch"] == [0, 1]
    assert child.ledger.status == "killed"
    assert child.ledger.fingerprint.endswith("-partial")
    with pytest.raises(LaunchError, match=r"^run 1 was killed by SIGKILL; ledger and output kept in "):
        raise_for_outcome(child.outcome, child.folder, name="run 1")


def test_full_disk_ends_the_recording_and_not_the_training(launched: Any, written: Any) -> None:
    child = launched(
        written(
            TRAINS + "import os, resource\n"
            "class Fill(keras.callbacks.Callback):\n"
            "    def on_epoch_begin(self, epoch, logs=None):\n"
            "        if epoch == 1:\n"
            "            size = os.path.getsize('run/ledger.jsonl') + 100\n"
            "            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))\n"
            "history = build().fit(X, Y, epochs=3, callbacks=[Fill()], verbose=0)\n"
            "print('trained', len(history.epoch))\n"
        )
    )
    assert child.outcome.code == RECORDING_FAILED
    with pytest.raises(LaunchError, match="too large; the script itself ended well; ledger and output kept"):
        raise_for_outcome(child.outcome, child.folder, name="run 1")
    assert "trained 3\n" in child.output
    last = child.output.splitlines()[-1]
    assert last.startswith("keras-repro: recording ended at epoch 2: cannot write ")
    assert last.endswith("ledger.jsonl: File too large")
    assert [r["kind"] for r in child.records] == ["fit", "start", "birth", "epoch"]
    assert child.ledger.status == "killed"
    assert child.ledger.notes == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "process = multiprocessing.get_context('fork').Process(target=train)\n"
            "process.start()\nprocess.join()\nassert process.exitcode == 0\n",
            "no training in this process; training in a process that the script starts is not observed",
        ),
        (
            "subprocess.run([sys.executable, '-c', 'pass'], check=True)\n",
            "no training in this process; training in a process that the script starts is not observed",
        ),
        ("pass\n", "no Keras training was observed: nothing to compare"),
        ("build()\n", None),
    ],
)
def test_training_in_another_process_is_not_observed(
    launched: Any, written: Any, lines: str, message: str | None
) -> None:
    child = launched(
        written(
            TRAINS + "import multiprocessing, subprocess, sys\n"
            "def train():\n    build().fit(X, Y, epochs=1, verbose=0)\n" + lines
        )
    )
    assert child.outcome.code == 0, child.output
    if message is None:
        return raise_for_outcome(child.outcome, child.folder, name="run 1")
    with pytest.raises(LaunchError, match=f"^run 1: {message}; ledger and output kept in "):
        raise_for_outcome(child.outcome, child.folder, name="run 1")


BARE = """\
import sys
import tensorflow as tf
layers = [keras.layers.Dense(3), keras.layers.Dense(1)]
optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
def step(x):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(layers[1](layers[0](x)) ** 2)
    weights = [w for layer in layers for w in layer.trainable_weights]
    optimizer.apply(tape.gradient(loss, weights), weights)
step = tf.function(step) if sys.argv[1] == "function" else step
for _ in range(2):
    step(tf.constant(X[:4]))
"""


@pytest.mark.parametrize("way", ["eager", "function"])
def test_layers_without_a_model_are_recorded_at_the_exit(launched: Any, written: Any, way: str) -> None:
    child = launched(written(TRAINS + BARE), way)
    assert child.outcome.code == 0, child.output
    raise_for_outcome(child.outcome, child.folder, name="run 1")
    (record,) = child.records
    names = [f"trained by hand 0/dense{n}/{w}" for n in ("", "_1") for w in ("bias", "kernel")]
    assert sorted(record["tensors"]["weights"]) == names
    slots = {f"trained by hand 0/optimizer/momentums/{n}" for n in names}
    assert slots < set(record["tensors"]["optimizer"])


def test_custom_training_loop_over_a_model_is_recorded_at_the_exit(launched: Any, written: Any) -> None:
    model = BARE.replace("layers[1](layers[0](x))", "model(x)").replace("def step", MODEL_OF_LAYERS)
    child = launched(written(TRAINS + model), "function")
    assert child.outcome.code == 0, child.output
    (record,) = child.records
    assert set(record["tensors"]) == {"weights"}
    assert all(name.startswith("model 0/layers/") for name in record["tensors"]["weights"])


MODEL_OF_LAYERS = "model = keras.Sequential(layers)\ndef step"


def test_process_that_calls_exec_leaves_no_record(launched: Any, written: Any) -> None:
    child = launched(written("import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'pass'])\n"))
    assert child.outcome.code == 0
    with pytest.raises(LaunchError, match=r"^run 1: no record was written: .* os\.exec, .*; output kept in "):
        raise_for_outcome(child.outcome, child.folder, name="run 1")


def test_unsupported_tf_keras_models_are_reported(launched: Any, written: Any, here: Path) -> None:
    package = here / "tf_keras" / "src" / "engine"
    package.mkdir(parents=True)
    package.joinpath("training.py").write_text("class Model:\n    def fit(self):\n        return 'trained'\n")
    child = launched(written("from tf_keras.src.engine.training import Model\nprint(Model().fit())\n"))
    assert (child.outcome.code, child.output) == (0, "trained\n")
    message = "tf_keras models are not supported yet: the training was not observed"
    with pytest.raises(LaunchError, match=f"^run 1: {message}"):
        raise_for_outcome(child.outcome, child.folder, name="run 1")


def test_header_describes_the_script(launched: Any) -> None:
    child = launched("seeded.py", "--epochs", "1", policies={"max_epochs": 1})
    assert child.output == "epochs 1\n"
    header = child.ledger.header
    assert header["command"]["script"].endswith("seeded.py")
    assert header["command"]["module"] is None
    assert (header["mode"], header["coverage"], header["seed"]) == ("observed", "smr", None)
    assert header["policies"] == {"max_epochs": 1}
    assert header["environment"]["frameworks"] == {
        "tensorflow": tensorflow.__version__,
        "keras": keras.__version__,
    }
    assert header["environment"]["python"]["version"].startswith(".".join(map(str, sys.version_info[:3])))
    assert {s["name"] for s in header["switches"]} >= {"hash_seed", "op_determinism", "onednn"}


def test_pinned_seeds_reach_every_generator(launched: Any, written: Any, here: Path) -> None:
    script = written(
        "import random, numpy as np, keras, tensorflow as tf\nfrom small import X, Y, build\n"
        "print(random.random(), np.random.rand(), float(tf.random.uniform(())))\n"
        # Op determinism refuses these two; bare, they start from entropy.
        "print(float(tf.function(lambda: tf.random.get_global_generator().uniform(()))()))\n"
        "made = [tf.random.Generator.from_non_deterministic_state() for _ in range(2)]\n"
        "print(*[float(generator.uniform(())) for generator in made])\n"
        "build(dropout=0.5).fit(X, Y, epochs=1, verbose=0)\n"
    )
    seen = []
    for seed in (5, 5, 6):
        child = launched(script, seed=seed)
        assert child.ledger.header["mode"] == "enforced"
        assert child.ledger.header["seed"] == seed
        seen.append((child.output, child.ledger.fingerprint))
        child.folder.rename(here / f"seen-{len(seen)}")
    assert seen[0] == seen[1]
    assert not set(seen[1]) & set(seen[2])
    numbers = [seen[n][0].split()[:6] for n in (1, 2)]
    assert len({float(number) for run in numbers for number in run}) == 12


def test_process_forked_before_keras_is_used_does_not_write_to_the_ledger(
    launched: Any, written: Any
) -> None:
    child = launched(
        written(
            "import os\nread, write = os.pipe()\npid = os.fork()\n"
            "if pid == 0:\n    os.close(write)\n    os.read(read, 1)\n" + TRAINS + "if pid == 0:\n"
            "    build().fit(X, Y, epochs=3, verbose=0)\n    os._exit(0)\n"
            "build().fit(X, Y, epochs=2, verbose=0)\nos.close(write)\nos.waitpid(pid, 0)\n"
        )
    )
    assert child.outcome.code == 0, child.output
    assert [r["kind"] for r in child.records] == ["fit", "start", "birth", "epoch", "epoch", "end", "exit"]
    assert child.records[-1]["unobserved"] == 1
    assert child.ledger.status == "finished"


def test_threads_and_exit_functions_are_still_recorded(launched: Any, written: Any) -> None:
    child = launched(
        written(
            TRAINS + "import atexit, threading\nmodel = build()\n"
            "def train():\n    model.fit(X, Y, epochs=1, verbose=0)\n"
            "atexit.register(lambda: print('loss', model.evaluate(X, Y, verbose=0)[0] > 0))\n"
            "threading.Thread(target=train).start()\n"
        )
    )
    assert (child.outcome.code, child.output) == (0, "loss True\n")
    kinds = ["fit", "start", "birth", "epoch", "end", "evaluation", "exit"]
    assert [r["kind"] for r in child.records] == kinds


def test_script_may_close_its_standard_output(launched: Any, written: Any) -> None:
    child = launched(
        written(TRAINS + "import sys\nwith open('log', 'w') as sys.stdout:\n    print(build().name)\n")
    )
    assert child.outcome.code == 0
    assert child.records[-1]["status"] == "finished"
