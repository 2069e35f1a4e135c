"""The active backend implements the interface, and importing it loads no framework."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from keras_repro.training.backends.active import backend
from keras_repro.training.backends.tensorflow_interface import TensorFlowBackend

PARTS = sorted(field.name for field in dataclasses.fields(TensorFlowBackend))


def test_importing_the_backend_loads_no_framework() -> None:
    code = (
        "import sys\n"
        "from keras_repro.training.backends.active import backend\n"
        "print(sorted({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert printed.stdout == "[]\n"


@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_the_interface_is_bound(part: str) -> None:
    assert getattr(backend, part).__name__ == f"keras_repro.training.backends.keras3_tf.{part}"
