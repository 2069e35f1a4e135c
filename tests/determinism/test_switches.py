"""Effective values of switches, read in real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from keras_repro.determinism.switch_table import BY_NAME, SWITCHES, Reading
from keras_repro.determinism.switches import apply_switches, pinned_environment, read_switches
from keras_repro.determinism.tf_runtime import cpu_count
from keras_repro.errors import SwitchError

REPOSITORY = Path(__file__).resolve().parents[2]
GPU_SWITCHES = ("tf32", "cudnn_deterministic", "cudnn_autotune", "cublas_workspace")

_PRELUDE = """
import json, os, sys
from keras_repro.determinism import tf_runtime
from keras_repro.determinism.switches import apply_switches, probe_switches, read_switches
from keras_repro.errors import SwitchError

output = {}

def store(name, readings):
    output[name] = {r.name: r.to_dict() for r in readings}

"""


def run(body: str, *flags: str, argument: str = "", **variables: str) -> Any:
    """Return the `output` of a fresh interpreter, in an environment without any switch's variable."""
    kept = {n: os.environ[n] for n in ("PATH", "HOME", "LANG", "TMPDIR") if n in os.environ}
    code = _PRELUDE + textwrap.dedent(body) + "\nprint(json.dumps(output))"
    done = subprocess.run(
        [sys.executable, *flags, "-c", f"import sys; sys.path[:0] = [{str(REPOSITORY)!r}]\n{code}", argument],
        env={**kept, "TF_CPP_MIN_LOG_LEVEL": "3", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("flags", "variable", "achieved"),
    [
        ((), "0", 0),
        ((), "1", 1),
        ((), "4294967295", 4294967295),
        ((), "random", "random"),
        ((), None, "random"),
        # The variable is set, and Python ignores it.
        (("-E",), "7", "random"),
    ],
)
def test_hash_seed_is_found_from_hashes(
    flags: tuple[str, ...], variable: str | None, achieved: object
) -> None:
    variables = {} if variable is None else {"PYTHONHASHSEED": variable}
    output = run("store('now', read_switches())", *flags, **variables)
    reading = output["now"]["hash_seed"]
    assert reading["achieved"] == achieved
    assert reading["ok"] == (None if variable is None else str(achieved) == variable)


def test_hash_seed_set_in_a_running_process_has_no_effect() -> None:
    output = run(
        """
        os.environ["PYTHONHASHSEED"] = "7"
        store("inside", read_switches())
        try:
            apply_switches({"hash_seed": 8})
        except SwitchError as error:
            output["error"] = str(error)
        output["variable"] = os.environ["PYTHONHASHSEED"]
        """,
        PYTHONHASHSEED="3",
    )
    reading = output["inside"]["hash_seed"]
    assert (reading["requested"], reading["achieved"], reading["ok"]) == (7, 3, False)
    assert reading["fix"] == "start with: PYTHONHASHSEED=7 python ..."
    assert output["error"] == (
        "switch hash_seed: 8 was requested after Python had started; the effective value is 3. "
        "Fix: start with: PYTHONHASHSEED=8 python ..."
    )
    assert output["variable"] == "7"


def test_effective_hash_seed_may_be_requested_late() -> None:
    output = run("store('now', apply_switches({'hash_seed': 3, 'onednn': False}))", PYTHONHASHSEED="3")
    assert output["now"]["hash_seed"]["ok"] is True
    assert output["now"]["onednn"] == {
        "name": "onednn",
        "requested": False,
        "achieved": None,
        "ok": None,
        "fix": "TensorFlow is not loaded yet",
    }


def test_every_pinned_switch_is_effective() -> None:
    """One process with the pinned variables, read before TensorFlow, after its import, and running."""
    variables = pinned_environment(42, threads=3)
    output = run(
        """
        store("python", read_switches())
        output["loaded"] = "tensorflow" in sys.modules
        import tensorflow as tf
        tf_runtime.remember_environment()
        store("imported", read_switches())
        output["early"] = tf_runtime.tensorflow_started()
        tf.constant(1.0) + 1
        store("started", read_switches(json.loads(sys.argv[1])))
        output["counts"] = [c.least for c in tf_runtime.thread_counts()]
        """,
        argument=json.dumps(variables),
        **variables,
    )
    assert output["loaded"] is False
    assert output["early"] is False
    assert output["counts"] == [3, 3]
    running = output["started"]
    asked = {n: r for n, r in running.items() if r["requested"] is not None}
    assert set(BY_NAME) - set(asked) == {"onednn_isa", "graph_optimizer"}
    for name, reading in asked.items():
        if name in GPU_SWITCHES and reading["achieved"] == "no GPU":
            assert reading["ok"] is None
        else:
            assert reading["ok"] is True, reading
            assert reading["achieved"] == reading["requested"]
            assert reading["fix"] == ""
    assert running["hash_seed"]["achieved"] == 42
    assert running["op_determinism"]["achieved"] is True
    assert running["xla_auto_jit"]["achieved"] is False
    assert running["intra_op_threads"]["achieved"] == running["inter_op_threads"]["achieved"] == 3
    for stage in ("python", "imported"):
        assert all(r["ok"] is not False for r in output[stage].values())
        assert output[stage]["intra_op_threads"]["achieved"] is None


def test_switches_applied_before_the_import_are_effective() -> None:
    output = run(
        """
        asked = {
            "op_determinism": True, "intra_op_threads": 2, "inter_op_threads": 1, "onednn": False,
            "onednn_isa": "avx2", "xla_auto_jit": True, "blas_threads": 1,
        }
        store("before", apply_switches(asked))
        tf_runtime.start_tensorflow()
        store("running", read_switches(asked))
        store("unasked", read_switches())
        """
    )
    for name in ("op_determinism", "intra_op_threads", "onednn", "xla_auto_jit", "blas_threads"):
        assert output["before"][name]["ok"] is None
    for readings in (output["running"], output["unasked"]):
        achieved = {n: readings[n]["achieved"] for n in readings if readings[n]["ok"]}
        # The variables were set in the running process, in time: the readings are right.
        assert achieved == {
            "op_determinism": True,
            "intra_op_threads": 2,
            "inter_op_threads": 1,
            "blas_threads": 1,
            "onednn": False,
            "onednn_isa": "AVX2",
            "xla_auto_jit": True,
        }


@pytest.fixture(scope="module")
def forked() -> Any:
    """Scenarios in children of one process that has imported TensorFlow and not started it."""
    return run(
        """
        import warnings
        import tensorflow as tf

        def start():
            tf.constant(1.0) + 1

        def inside():
            os.environ.update(TF_ENABLE_ONEDNN_OPTS="0", TF_NUM_INTRAOP_THREADS="3")
            start()
            os.environ.update(TF_NUM_INTEROP_THREADS="9", TF_XLA_FLAGS="--tf_xla_auto_jit=2")
            store("readings", read_switches())

        def looking():
            read_switches()
            context = sys.modules["tensorflow.python.eager.context"]
            output["untouched"] = context._context is None
            os.environ.update(TF_DETERMINISTIC_OPS="1", TF_NUM_INTRAOP_THREADS="4")
            start()
            store("readings", read_switches())

        def program():
            tf.config.threading.set_intra_op_parallelism_threads(3)
            tf.config.threading.set_inter_op_parallelism_threads(2)
            tf.config.experimental.enable_op_determinism()
            tf.config.optimizer.set_experimental_options({"constant_folding": False})
            start()
            store("readings", read_switches())

        def apply():
            asked = {"intra_op_threads": 3, "inter_op_threads": 2, "op_determinism": True,
                     "graph_optimizer": {"remapping": False}, "xla_auto_jit": False}
            store("applied", apply_switches(asked))
            output["started"] = tf_runtime.tensorflow_started()
            start()
            store("readings", read_switches(asked))

        def late():
            start()
            now = {r.name: r.achieved for r in read_switches()}
            store("same", apply_switches({n: now[n] for n in ("intra_op_threads", "onednn")}))
            asked = {"intra_op_threads": 17, "onednn": not now["onednn"], "op_determinism": True}
            try:
                apply_switches(asked)
            except SwitchError as error:
                output["error"] = str(error)
            output["kept"] = tf_runtime.op_determinism_enabled()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                store("readings", apply_switches(asked, strict=False))
            output["warnings"] = [str(w.message) for w in caught]
            output["files"] = [w.filename for w in caught]

        def no_boolean():
            os.environ["TF_DETERMINISTIC_OPS"] = "yes"
            start()
            store("readings", read_switches())

        def affinity():
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
            start()
            store("readings", read_switches())

        results = {}
        for scenario in (inside, looking, program, apply, late, no_boolean, affinity):
            readable, writable = os.pipe()
            child = os.fork()
            if child == 0:
                try:
                    scenario()
                    os.write(writable, json.dumps(output).encode())
                    os._exit(0)
                except BaseException as error:
                    os.write(writable, json.dumps({"failed": repr(error)}).encode())
                    os._exit(1)
            os.close(writable)
            with open(readable) as file:
                results[scenario.__name__] = json.loads(file.read() or '{"failed": "crashed"}')
            os.waitpid(child, 0)
        output = results
        """
    )


def _reading(output: Any, name: str) -> tuple[Any, Any, Any]:
    reading = output["readings"][name]
    return reading["requested"], reading["achieved"], reading["ok"]


def test_variables_set_after_the_import_are_not_trusted(forked: Any) -> None:
    output = forked["inside"]
    default = forked["late"]["same"]["onednn"]["achieved"]
    # The import fixes oneDNN, not the thread counts.
    assert _reading(output, "onednn") == (False, default, not default)
    assert _reading(output, "intra_op_threads") == (3, 3, True)
    # Set after the start: the threads that were started count.
    assert _reading(output, "inter_op_threads") == (9, cpu_count(), False)
    assert output["readings"]["inter_op_threads"]["fix"].startswith(
        "start with: TF_NUM_INTEROP_THREADS=9 python"
    )
    # Nothing proves what XLA has read: the value is unknown.
    assert _reading(output, "xla_auto_jit") == (True, None, None)
    assert "it changed around the time when it is read" in output["readings"]["xla_auto_jit"]["fix"]


def test_reading_changes_nothing(forked: Any) -> None:
    output = forked["looking"]
    assert output["untouched"] is True
    # If reading had asked for op determinism, this variable would have come too late.
    assert _reading(output, "op_determinism") == (True, True, True)
    assert _reading(output, "intra_op_threads") == (4, 4, True)


def test_values_set_by_the_program_are_read(forked: Any) -> None:
    output = forked["program"]
    assert _reading(output, "intra_op_threads") == (None, 3, None)
    assert _reading(output, "inter_op_threads") == (None, 2, None)
    assert _reading(output, "op_determinism") == (None, True, None)
    assert _reading(output, "graph_optimizer") == (None, {"constant_folding": False}, None)
    assert output["readings"]["graph_optimizer"]["fix"].startswith("call tf.config.optimizer.")


def test_switches_are_applied_before_the_runtime_starts(forked: Any) -> None:
    output = forked["apply"]
    assert output["started"] is False
    assert output["applied"]["op_determinism"]["ok"] is True
    assert output["applied"]["intra_op_threads"]["ok"] is None
    assert _reading(output, "intra_op_threads") == (3, 3, True)
    assert _reading(output, "inter_op_threads") == (2, 2, True)
    assert _reading(output, "op_determinism") == (True, True, True)
    assert _reading(output, "graph_optimizer") == ({"remapping": False}, {"remapping": False}, True)
    assert _reading(output, "xla_auto_jit") == (False, False, True)


def test_late_switch_is_an_error_with_its_fix(forked: Any) -> None:
    output = forked["late"]
    assert output["same"]["intra_op_threads"]["ok"] is True
    first, second = output["error"].splitlines()
    count = output["same"]["intra_op_threads"]["achieved"]
    assert first == (
        "switch intra_op_threads: 17 was requested after TensorFlow's runtime had started; the "
        f"effective value is {count}. Fix: start with: TF_NUM_INTRAOP_THREADS=17 python ..."
    )
    assert second.startswith("switch onednn: ")
    assert "after TensorFlow was imported" in second
    assert output["kept"] is False


def test_late_switch_is_a_warning_unless_strict(forked: Any) -> None:
    output = forked["late"]
    assert output["warnings"] == output["error"].splitlines()
    assert set(output["files"]) == {"<string>"}
    assert _reading(output, "intra_op_threads")[2] is False
    assert _reading(output, "onednn")[2] is False
    # Not too late on a CPU: it applies to models that are built from now on.
    assert _reading(output, "op_determinism") == (True, True, True)


def test_variable_that_is_no_boolean_is_reported(forked: Any) -> None:
    reading = forked["no_boolean"]["readings"]["op_determinism"]
    assert (reading["requested"], reading["ok"]) == ("yes", False)
    assert reading["fix"].startswith("expected True or False (in a variable: 1 or 0); start with:")


def test_default_thread_count_is_the_number_of_usable_cpus(forked: Any) -> None:
    assert _reading(forked["affinity"], "intra_op_threads") == (None, 1, None)
    assert _reading(forked["affinity"], "inter_op_threads") == (None, 1, None)


def test_unknown_switch_is_refused() -> None:
    with pytest.raises(SwitchError, match=r"no switch 'hash'; the switches are: hash_seed, op_det"):
        read_switches({"hash": 1})
    with pytest.raises(SwitchError, match="no switch 'TF_NOTHING'"):
        apply_switches({"TF_NOTHING": "1"})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("hash_seed", -1, "'random' or a number from 0 to 4294967295, got -1"),
        ("hash_seed", True, "'random' or a number"),
        ("op_determinism", 1, "True or False"),
        ("intra_op_threads", 0, "a number of threads from 1 on, got 0"),
        ("TF_NUM_INTRAOP_THREADS", "two", "a number of threads from 1 on, got 'two'"),
        ("TF_DETERMINISTIC_OPS", "yes", "True or False"),
        ("graph_optimizer", "off", "a mapping of options"),
        ("onednn_isa", "", "text"),
    ],
)
def test_invalid_values_are_refused(name: str, value: object, expected: str) -> None:
    with pytest.raises(SwitchError, match=f"switch {name}: expected {expected}"):
        read_switches({name: value})


def test_variables_are_accepted_as_requests() -> None:
    readings = {r.name: r.requested for r in read_switches(pinned_environment(5, threads=1))}
    assert readings == {
        "hash_seed": 5,
        "op_determinism": True,
        "intra_op_threads": 1,
        "inter_op_threads": 1,
        "blas_threads": 1,
        "onednn": True,
        "onednn_isa": None,
        "xla_auto_jit": False,
        "graph_optimizer": None,
        "tf32": False,
        "cudnn_deterministic": True,
        "cudnn_autotune": False,
        "cublas_workspace": ":4096:8",
    } | ({} if pinned_environment(0)["TF_ENABLE_ONEDNN_OPTS"] == "1" else {"onednn": False})


def test_pinned_environment_has_all_variables() -> None:
    assert pinned_environment(2**32 + 7)["PYTHONHASHSEED"] == "7"
    assert pinned_environment(0)["TF_NUM_INTRAOP_THREADS"] == str(cpu_count())
    assert pinned_environment(0, threads=64)["TF_NUM_INTEROP_THREADS"] == "64"
    assert pinned_environment(0, threads=64)["OMP_NUM_THREADS"] == str(min(64, cpu_count()))
    with pytest.raises(SwitchError, match="threads: expected a number of threads from 1 on, got 0"):
        pinned_environment(0, threads=0)


@pytest.mark.parametrize(
    "reading",
    [
        Reading("hash_seed", 7, "random", False, "start with: PYTHONHASHSEED=7 python ..."),
        Reading("graph_optimizer", None, {"constant_folding": False}),
        Reading("onednn", True, True, True),
    ],
)
def test_readings_survive_the_ledger(reading: Reading) -> None:
    assert Reading(**json.loads(json.dumps(reading.to_dict()))) == reading


def test_every_switch_is_read_in_order() -> None:
    assert [r.name for r in read_switches()] == [s.name for s in SWITCHES]
