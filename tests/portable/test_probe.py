"""The probe of single operations, on this CPU with one and two threads, and its report."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from keras_repro.determinism.portable_pins import portable_environment
from keras_repro.determinism.thread_rules import is_the_same_always

HERE = Path(__file__).resolve().parent
_spec = importlib.util.spec_from_file_location("portable_probe_score", HERE / "probe_score.py")
probe_score = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(probe_score)

TRIED = ["Tanh", "Softmax", "_FusedMatMul", "Conv2DBackpropFilter", "Rsqrt"]


def test_only_listed_operations_differ_with_two_threads():
    done = subprocess.run(
        [sys.executable, str(HERE / "probe.py"), "--threads", "1", "2", "--operations", *TRIED],
        env=os.environ | portable_environment(1) | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert not [s for s in results if "failed" in s]
    by_case = {(s["operation"], s["case"]): {} for s in results}
    for s in results:
        by_case[s["operation"], s["case"]][s["threads"]] = s["digest"]
    assert len(results) == 2 * len(by_case)  # each case has its own name
    differing = {operation for (operation, _), digests in by_case.items() if digests[1] != digests[2]}
    assert differing == {"Conv2DBackpropFilter"}
    assert [is_the_same_always(o) for o in TRIED] == [True, True, False, False, True]


def test_report_lists_equal_and_different_operations():
    results = {
        ("Tanh", "a"): {"native": "1", "Haswell": "1"},
        ("Rsqrt", "a"): {"native": "1", "Haswell": "2"},
        ("Rsqrt", "b"): {"native": "1", "Haswell": "1"},
        ("Maximum", "float32 any bits"): {"native": "1", "Haswell": "2"},
        ("Svd", "a"): {"native": "failed: no", "Haswell": "failed: no"},
    }
    assert probe_score.report(results, listed=["Tanh", "Rsqrt", "MatMul"]).splitlines() == [
        "compared: native, Haswell; 5 cases of 4 types",
        "the same: Maximum 1, Tanh 1",
        "different: Rsqrt, 1 of 2",
        "    a: native | Haswell",
        "different: Svd, 1 of 1",
        "    a: native Haswell (failed: no)",
        "the emulator is wrong: Maximum (float32 any bits)",
        "on the list and not tried: MatMul",
    ]
