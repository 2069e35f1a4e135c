"""The environment of a portable run, the machines that can run one, and the known operations."""

import os
import platform
import subprocess
import sys

import pytest

from keras_repro.determinism import portable_pins
from keras_repro.determinism.operation_catalogue import why_not_portable
from keras_repro.determinism.thread_rules import COUNTS
from keras_repro.errors import SwitchError


def test_portable_environment_pins_everything():
    pins = portable_pins.portable_environment(5, threads=2)
    assert {
        "PYTHONHASHSEED": "5",
        "TF_DETERMINISTIC_OPS": "1",
        "TF_NUM_INTRAOP_THREADS": "2",
        "TF_NUM_INTEROP_THREADS": "2",
        "TF_ENABLE_ONEDNN_OPTS": "1",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "TF_XLA_FLAGS": "--tf_xla_auto_jit=-1",
    }.items() <= pins.items()
    assert portable_pins.portable_environment(5)["TF_NUM_INTRAOP_THREADS"] == "1"


def test_numpy_is_capped_at_avx2():
    code = (
        "import sys, numpy, warnings\n"
        "from keras_repro.determinism.portable_pins import numpy_features_beyond\n"
        "print(numpy_features_beyond())"
    )
    pins = portable_pins.portable_environment(1)
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | pins | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    ("machine", "avx2", "reason"),
    [
        ("x86_64", True, None),
        ("AMD64", True, None),
        ("x86_64", False, "this CPU has no AVX2"),
        ("aarch64", True, "this machine is aarch64"),
        ("", False, "this machine is of an unknown kind"),
    ],
)
def test_other_machines_are_not_portable(machine, avx2, reason):
    assert portable_pins.why_not_portable(machine, avx2) == reason


def test_unsuitable_machine_is_refused(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    message = "portable runs need an x86-64 CPU with AVX2: this machine is aarch64"
    with pytest.raises(SwitchError, match=message):
        portable_pins.portable_environment(1)
    with pytest.warns(UserWarning, match=message):
        portable_pins.portable_environment(1, strict=False)
    assert portable_pins.machine_in_words() == "not possible here, this machine is aarch64"


def test_this_machine_is_described():
    assert portable_pins.has_avx2() is True
    words = "portable over x86-64 with AVX2, at 1 thread: keras-repro run --portable SCRIPT"
    assert portable_pins.machine_in_words() == words


@pytest.mark.parametrize(
    ("operation", "types", "attributes", "reason"),
    [
        ("MatMul", {"float32"}, {}, None),
        ("MatMul", {"float64"}, {}, "is not known to be portable"),
        ("MatMul", {"bfloat16"}, {}, "computes in half precision"),
        ("Reshape", {"bfloat16", "int32"}, {}, None),
        ("Rsqrt", {"float64"}, {}, None),
        ("Rsqrt", {"float32"}, {}, "uses instructions that each CPU model approximates"),
        ("Atan", {"float32"}, {}, "uses instructions that each CPU model approximates"),
        ("Svd", {"float32"}, {}, "is not known to be portable"),
        ("PyFunc", {"float32"}, {}, "is not known to be portable"),
        ("MyOwnOp", set(), {}, "is not known to be portable"),
        ("BitwiseCount", {"int32"}, {}, None),
        ("_FusedMatMul", {"float32"}, {"fused": ["BiasAdd", "Sigmoid"]}, None),
        ("_FusedMatMul", {"float32"}, {"fused": ["BiasAdd", "Tanh"]}, "is fused with Tanh"),
        ("StatefulPartitionedCall", {"float32"}, {"xla": True}, "is compiled by XLA"),
        ("MatMul", {"float32"}, {"device": "/device:GPU:0"}, "runs on a GPU"),
    ],
)
def test_operations_have_a_reason_or_are_portable(operation, types, attributes, reason):
    reason_found = why_not_portable(operation, types, attributes)
    assert reason_found is None if reason is None else reason_found.startswith(reason)


def test_promise_names_the_thread_counts():
    assert portable_pins.promise(1) == "portable over x86-64 with AVX2, at 1 thread"
    assert portable_pins.promise(4) == "portable over x86-64 with AVX2, at 4 threads"
    for threads, same_at, counts in (
        (1, (1,), "1 thread"),
        (2, (1,), "2 threads"),
        (1, (1, 2), "1 or 2 threads"),
        (2, (1, 2, 4), "1, 2 or 4 threads"),
        (3, (1, 2, 4), "3 threads"),
        (5, COUNTS, "any number of threads"),
    ):
        assert portable_pins.promise(threads, same_at) == f"portable over x86-64 with AVX2, at {counts}"
