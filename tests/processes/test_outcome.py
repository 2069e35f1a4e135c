"""Errors of children that failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_repro.errors import LaunchError
from keras_repro.processes.child import Outcome
from keras_repro.processes.outcome import raise_for_outcome

FRACTIONAL = (
    "ValueError: tf.nn.fractional_max_pool requires a non-zero seed to be passed in when determinism is "
    'enabled, but got seed=0. Please pass in a non-zero seed, e.g. by passing "seed=1".'
)
SPARSE = "UnimplementedError: A deterministic GPU implementation of CSRMatMul is not currently available."


@pytest.mark.parametrize("error", [FRACTIONAL, SPARSE])
def test_operation_that_op_determinism_refuses_is_named(tmp_path: Path, error: str) -> None:
    (tmp_path / "output.txt").write_text(
        f"Traceback (most recent call last):\n  File ...\n{error}\x1b[0m\n\nArguments received: ()\n"
    )
    with pytest.raises(LaunchError) as raised:
        raise_for_outcome(Outcome(1, 2.0), tmp_path, name="run 1")
    assert str(raised.value) == (
        "run 1 failed with exit code 1: the switch op_determinism is on, and TensorFlow has no deterministic "
        f"form of an operation ({error}). Change the operation, or leave the switch off (without --enforce); "
        f"output kept in {tmp_path}"
    )


def test_other_errors_get_no_hint(tmp_path: Path) -> None:
    (tmp_path / "output.txt").write_text("ValueError: the deterministic policy needs a state\n")
    with pytest.raises(LaunchError, match=r"^run 1 failed with exit code 1; output kept in "):
        raise_for_outcome(Outcome(1, 2.0), tmp_path, name="run 1")
