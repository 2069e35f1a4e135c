"""Each pin of a portable run changes bits if it alone is left out, on a CPU with more than AVX2."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_repro.determinism.portable_pins import numpy_features_beyond, portable_environment

HERE = Path(__file__).resolve().parent


def digests(environment, *options):
    done = subprocess.run(
        [sys.executable, str(HERE / "pins_child.py"), *options],
        env=environment | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def pinned():
    unpinned = {n: v for n, v in os.environ.items() if n not in portable_environment(1)}
    return unpinned | portable_environment(1)


@pytest.fixture(scope="module")
def portable(pinned):
    return digests(pinned)


def differing(changed, portable):
    return {n for n in changed if changed[n] != portable[n]}


def test_onednn_changes_bits(pinned, portable):
    changed = digests(pinned | {"TF_ENABLE_ONEDNN_OPTS": "0"})
    assert differing(changed, portable) == {"product", "convolution"}


@pytest.mark.parametrize(
    ("pin", "options", "differs"),
    [
        ("ONEDNN_MAX_CPU_ISA", (), {"product"}),
        ("NPY_DISABLE_CPU_FEATURES", ("--numpy",), {"numpy"}),
        ("OPENBLAS_CORETYPE", ("--numpy",), {"blas"}),
    ],
)
def test_each_cap_changes_bits(pin, options, differs, pinned, portable):
    """The caps disable instructions beyond AVX2; on a CPU without any, they change nothing."""
    without = {n: v for n, v in pinned.items() if n != pin}
    beyond = bool({n for n in numpy_features_beyond() if n.startswith(("AVX512", "X86_V4"))})
    assert differing(digests(without, *options), portable) == (differs if beyond else set())
