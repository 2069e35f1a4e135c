"""Reproducible and irreproducible scripts, run in processes of their own and compared."""

from __future__ import annotations

from typing import Any

import pytest
from ledger_builders import training, write

from keras_repro.comparison.notes import SEED_WITHOUT_EFFECT
from keras_repro.errors import LaunchError, RunFolderError
from keras_repro.ledger.reader import open_ledger
from keras_repro.workflows.verify import Verification


def divergence(verification: Verification) -> dict[str, Any]:
    data = verification.to_dict()
    assert data["verdict"] == "diverged"
    assert len({run["fingerprint"] for run in data["runs"]}) == len(data["runs"])
    return data["divergence"]


def notes(verification: Verification) -> str:
    return "\n".join(verification.comparison.notes)


def test_seeded_script_is_identical(verified: Any) -> None:
    verification = verified("seeded.py", runs=3)
    comparison = verification.comparison
    assert comparison.verdict == "identical"
    assert len({r["fingerprint"] for r in comparison.runs}) == 1
    assert comparison.runs[0]["fingerprint"].startswith("kr1-smr-")
    assert [r["status"] for r in comparison.runs] == ["finished"] * 3
    # fit, start, creation of the slots, three epochs, end, evaluation, prediction, exit
    assert comparison.compared == 10
    assert comparison.covers == "training, evaluation and predictions"
    assert comparison.notes == ()
    assert [o.code for o in verification.outcomes] == [0, 0, 0]
    assert verification.leftovers == ()
    assert verification.estimate is None


def test_seed_without_effect_on_the_order_is_a_note(verified: Any, written: Any) -> None:
    """As with a Keras that seeds its shuffle by the epoch; also if the runs diverge."""
    order = (
        "import tensorflow as tf\n"
        "tf.random.shuffle = lambda x: tf.random.experimental.stateless_shuffle(x, [0, 0])\n"
    )
    seed = "import keras\nkeras.utils.set_random_seed(1)\n"
    train = "from small import X, Y, build\nbuild().fit(X, Y, verbose=0)\n"
    for lines, verdict, is_noted in (
        (seed + order + train, "identical", True),
        (order + train, "diverged", True),
        (seed + train, "identical", False),
        (seed + order + train.replace("(X, Y,", "(X, Y, shuffle=False,"), "identical", False),
    ):
        comparison = verified(written(lines), runs=2, overwrite=True).comparison
        assert comparison.verdict == verdict
        assert (SEED_WITHOUT_EFFECT in comparison.notes) is is_noted
        # The attempt is no part of the record.
        assert {r.fit for r in comparison.ledgers[0].typed_records()} == {0, None}


@pytest.mark.parametrize(
    ("kind", "record", "tensor"),
    [
        ("built", "start", "layers/0/kernel"),
        ("unbuilt", "birth", "layers/0/kernel"),
        ("subclassed", "birth", "hidden/0/kernel"),
    ],
)
def test_without_a_seed_the_initial_weights_differ(
    verified: Any, kind: str, record: str, tensor: str
) -> None:
    first_difference = divergence(verified("no_seed.py", kind))
    assert first_difference["cause"] == "initial_weights"
    assert (first_difference["kind"], first_difference["fit"], first_difference["epoch"]) == (record, 0, None)
    assert (first_difference["section"], first_difference["tensor"]) == ("weights", tensor)
    # Biases start as zeros.
    assert [t["tensor"].rsplit("/")[-1] for t in first_difference["tensors"]] == ["kernel"] * len(
        first_difference["tensors"]
    )
    assert (
        first_difference["explanation"]
        == "no seed was set with Keras; call keras.utils.set_random_seed before building"
    )


def test_seeds_that_keras_does_not_use_are_named(verified: Any) -> None:
    verification = verified("no_seed.py", "built", "others")
    assert str(verification.comparison) == (
        "diverged: before the first epoch: initial weights differ, first in layers/0/kernel "
        "(sequential/dense/kernel) and 1 more; seeds were set with tf.random.set_seed, from which "
        "Keras 3's initializers do not draw; call keras.utils.set_random_seed before building"
    )
    assert divergence(verification)["cause"] == "initial_weights"


def test_time_in_labels_diverges_in_the_first_epoch(verified: Any) -> None:
    first_difference = divergence(verified("seeded.py", "labels"))
    assert (first_difference["fit"], first_difference["epoch"], first_difference["cause"]) == (
        0,
        0,
        "data_values",
    )
    assert first_difference["explanation"] == "y given to fit differs"


def test_noise_in_the_eighth_epoch_is_found_and_stopped_live(verified: Any, launched: Any) -> None:
    verification = verified("seeded.py", "weights", "--epochs", "10")
    first_difference = divergence(verification)
    assert (first_difference["fit"], first_difference["epoch"], first_difference["section"]) == (
        0,
        7,
        "weights",
    )
    assert first_difference["epochs"] == 10
    assert "diverged: at epoch 8/10: weights differ, first in layers/0/" in str(verification.comparison)

    # The runs of `verify` cover results outside of fit: only the reference of a callback can be matched.
    reference = launched("seeded.py", "weights", "--epochs", "10", "--record", "first")
    assert "epochs 10\n" in reference.output
    folder = reference.folder / "runs" / "first"
    reference.folder.rename(reference.folder.with_name("reference"))
    folder = reference.folder.with_name("reference") / "runs" / "first"
    live = launched(
        "seeded.py", "weights", "--epochs", "10", "--record", "second", "--reference", str(folder)
    )
    assert "epochs 8\n" in live.output
    assert "stopped: at epoch 8/10: weights differ" in live.output
    assert "diverged from the reference at epoch 8/10" in live.output
    recorded = open_ledger(live.folder / "runs" / "second")
    assert recorded.status == "stopped"
    assert recorded.fingerprint is not None
    assert recorded.fingerprint.endswith("-partial")


def test_only_the_unseeded_fold_is_named(verified: Any) -> None:
    verification = verified("cross_validation.py", keep_going=True)
    first_difference = divergence(verification)
    assert (first_difference["fit"], first_difference["epoch"], first_difference["cause"]) == (
        3,
        None,
        "initial_weights",
    )
    assert "of fit 4/5" in str(verification.comparison)
    a, b = (list(open_ledger(r["ledger"]).typed_records()) for r in verification.comparison.runs)
    differing = [(r.fit, r.index) for r, s in zip(a, b, strict=True) if r.sections != s.sections]
    # The records of that fit, and the prediction of its model.
    assert set(differing) == {(3, None), (None, 3)}


def test_other_structure_is_a_divergence(verified: Any) -> None:
    verification = verified("random_size.py")
    first_difference = divergence(verification)
    assert (first_difference["cause"], first_difference["fit"], first_difference["epoch"]) == (
        "configuration",
        0,
        None,
    )
    assert "layers/0/kernel is float32[6, " in str(verification.comparison)


def test_evaluation_on_a_random_subset_differs(verified: Any) -> None:
    first_difference = divergence(verified("random_subset.py"))
    assert (
        first_difference["kind"],
        first_difference["index"],
        first_difference["fit"],
        first_difference["epoch"],
    ) == ("evaluation", 0, None, None)
    assert first_difference["cause"] == "data_values"


def test_difference_without_effect_is_a_note(verified: Any) -> None:
    verification = verified("no_effect.py", "dropout", "generator", "leftover", "clock", "restore")
    assert verification.comparison.verdict == "identical"
    text = notes(verification)
    assert "layers/1/dropout/seed_generator" in text
    assert "layers/1/keras_generator" in text
    assert "layers/1/tensorflow_generator" in text
    assert "was never used" in text
    assert "left from before" in text
    assert "the process's own generator (numpy) differs: without effect so far" in text
    assert "log taken, added by a callback, differs" in text
    assert len(verification.comparison.notes) == 4


def test_train_on_batch_is_recorded(verified: Any) -> None:
    verification = verified("custom_loop.py", "batches", "seeded")
    assert verification.comparison.verdict == "identical"
    assert verification.comparison.covers.startswith("steps outside fit;")
    ledger = open_ledger(verification.comparison.runs[0]["ledger"])
    assert [r.extra["steps"] for r in ledger.typed_records() if r.kind == "loop"] == [0, 1, 2, 4, 6]


def test_unseeded_train_on_batch_differs(verified: Any) -> None:
    first_difference = divergence(verified("custom_loop.py", "batches"))
    assert (
        first_difference["kind"],
        first_difference["index"],
        first_difference["step"],
        first_difference["section"],
    ) == ("loop", 0, 0, "weights")
    assert first_difference["cause"] == "initial_weights"
    assert first_difference["explanation"] == (
        "no seed was set with Keras; call keras.utils.set_random_seed before building"
    )


def test_custom_loop_is_compared_at_exit(verified: Any) -> None:
    verification = verified("custom_loop.py", "tape", "seeded")
    assert verification.comparison.verdict == "identical"
    assert verification.comparison.covers.startswith("the models' state at exit;")
    ledger = open_ledger(verification.comparison.runs[0]["ledger"])
    (record,) = ledger.typed_records()
    assert record.kind == "exit"
    assert [t.split("/", 1)[1] for t in record.tensors["weights"]] == [
        "layers/0/bias",
        "layers/0/kernel",
        "layers/2/bias",
        "layers/2/kernel",
    ]


def test_unseeded_custom_loop_differs_at_exit(verified: Any) -> None:
    verification = verified("custom_loop.py", "tape")
    assert divergence(verification)["kind"] == "exit"
    assert "at the script's exit: weights differ" in str(verification.comparison)


def test_run_that_reads_leftovers_of_the_last_one_differs(verified: Any) -> None:
    verification = verified("../scripts/resumes.py", runs=3)
    assert divergence(verification)["cause"] == "initial_weights"
    assert verification.leftovers == ("last.weights.h5",)


def test_run_folders_of_the_script_are_redirected(verified: Any, here: Any) -> None:
    verification = verified("records_itself.py")
    assert verification.comparison.verdict == "identical"
    for number in (1, 2):
        folder = here / "runs" / f"run-{number}"
        assert (folder / "output.txt").read_text() == "identical incomparable\n"
        own = sorted(str(p.parent.relative_to(folder / "runs")) for p in (folder / "runs").rglob("*.jsonl"))
        assert own == [".keras_repro/trainer-1", "first/run", "second/run", "trained"]
    assert sorted(p.name for p in here.iterdir()) == ["runs"]


def test_differing_run_of_three_is_named(verified: Any, written: Any) -> None:
    script = written(
        "import keras, os\nfrom pathlib import Path\nfrom small import X, Y, build\n"
        "number = len(list(Path('runs').iterdir()))\nstarted = Path('started')\n"
        "seen = len(started.read_text()) if started.exists() else 0\nstarted.write_text('x' * (seen + 1))\n"
        "keras.utils.set_random_seed(1 if seen != 1 else 2)\n"
        "build().fit(X, Y, epochs=1, verbose=0)\n"
    )
    verification = verified(script, runs=3, keep_going=True)
    assert verification.to_dict()["divergence"]["explanation"] == "seeds differ: 1 and 2"
    assert "run 2 diverged from run 1; run 3 did not" in verification.comparison.notes
    assert verification.leftovers == ("started",)


def test_runs_are_replaced_only_with_overwrite(verified: Any, here: Any) -> None:
    write(here / "runs" / "run-7", training(), coverage="smr")
    with pytest.raises(RunFolderError, match=r"runs holds runs already: .*--force"):
        verified("random_size.py")
    assert [p.name for p in (here / "runs").iterdir()] == ["run-7"]
    verified("random_size.py", overwrite=True)
    assert sorted(p.name for p in (here / "runs").iterdir()) == ["run-1", "run-2"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "import keras",
            "run 1: no Keras training was observed: nothing to compare; ledger and output kept in",
        ),
        ("1 / 0", "run 1 failed with exit code 1; ledger and output kept in runs/run-1"),
        ("import sys; sys.exit(3)", "run 1 failed with exit code 3; ledger and output kept in runs/run-1"),
        ("import os; os.kill(os.getpid(), 9)", "run 1 was killed by SIGKILL; output kept in runs/run-1"),
    ],
)
def test_child_without_training_is_an_error(verified: Any, written: Any, lines: str, message: str) -> None:
    with pytest.raises(LaunchError) as raised:
        verified(written(lines))
    assert str(raised.value).splitlines()[-1].startswith(message)


@pytest.mark.parametrize(
    ("lines", "section", "words"),
    [
        (
            "build().fit(X, Y, verbose=0)\nmodel.fit(X, Y, verbose=0)\nspoil(model)\n",
            "weights after fit 1",
            "weights after fit 2 differ",
        ),
        (
            "model.train_on_batch(X, Y)\nspoil(model)\n",
            "weights after loop 0",
            "weights after loop 1 differ",
        ),
        (
            "build().fit(X, Y, verbose=0)\nmodel.predict(X, verbose=0)\nspoil(model)\n",
            "weights",
            "weights differ",
        ),
    ],
)
def test_change_of_a_model_outside_of_fit_is_detected(
    verified: Any, written: Any, lines: str, section: str, words: str
) -> None:
    verification = verified(
        written(
            "import os\nimport keras\nimport numpy as np\nfrom small import X, Y, build\n"
            "keras.utils.set_random_seed(1)\nmodel = build()\n"
            "def spoil(model):\n    kernel = model.weights[0]\n"
            "    noise = np.frombuffer(os.urandom(kernel.shape[0]), 'u1')[:, None] / 255\n"
            "    kernel.assign_add(noise * np.ones(kernel.shape))\n" + lines
        )
    )
    first_difference = divergence(verification)
    assert str(verification.comparison).startswith(f"diverged: at the script's exit: {words}, first in ")
    assert (first_difference["kind"], first_difference["section"], first_difference["cause"]) == (
        "exit",
        section,
        "unknown",
    )


def test_training_in_another_process_is_a_note(verified: Any, written: Any) -> None:
    verification = verified(
        written(
            "import multiprocessing\nimport keras\nfrom small import X, Y, build\n"
            "if __name__ == '__main__':\n    keras.utils.set_random_seed(1)\n"
            "    build().fit(X, Y, verbose=0)\n"
            "    process = multiprocessing.get_context('spawn').Process(target=print)\n"
            "    process.start()\n    process.join()\n"
        )
    )
    assert verification.comparison.verdict == "identical"
    assert "the script started processes of its own" in notes(verification)
