"""Changed conditions of a child process."""

from __future__ import annotations

import glob
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_repro.training.instrumentation.perturbations import apply_perturbations


@pytest.fixture
def listed(here: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    for name in ("a", "b", "c", "d"):
        (here / name).touch()
    natural = os.listdir(".")
    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, getattr(os, name))
    monkeypatch.setattr(os, "supports_fd", set(os.supports_fd))
    return natural


def test_listings_are_reversed(listed: list[str], here: Path) -> None:
    apply_perturbations(listings="reversed")
    other = listed[::-1]
    assert os.listdir() == os.listdir(".") == os.listdir(here) == other
    with os.scandir() as entries:
        assert [e.name for e in entries] == other
    assert [p.name for p in Path().iterdir()] == other
    assert glob.glob("*") == other
    assert [p.name for p in Path().glob("*")] == other
    assert next(os.walk("."))[2] == other
    assert [os.fsdecode(n) for n in os.listdir(b".")] == other
    with pytest.raises(FileNotFoundError, match="nowhere"):
        os.listdir("nowhere")


def test_process_is_limited_to_some_cpus() -> None:
    cpus = sorted(os.sched_getaffinity(0))[:1]
    code = (
        "import os\nfrom keras_repro.training.instrumentation.perturbations import apply_perturbations\n"
        f"apply_perturbations(cpus={cpus})\nprint(sorted(os.sched_getaffinity(0)))"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == str(cpus)


def test_xla_is_disabled_if_keras_would_choose_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras
    from keras.src.trainers.trainer import Trainer

    def compiled(jit: object) -> bool:
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", jit_compile=jit)
        return bool(model.jit_compile)

    # As on a machine with a GPU.
    monkeypatch.setattr(Trainer, "_resolve_auto_jit_compile", lambda self: True)
    assert compiled("auto")
    apply_perturbations(jit=False)
    assert not compiled("auto")
    assert compiled(True)


def test_threads_switch_more_often() -> None:
    before = sys.getswitchinterval()
    try:
        apply_perturbations(switch_interval=1e-6)
        assert sys.getswitchinterval() == pytest.approx(1e-6)
    finally:
        sys.setswitchinterval(before)
