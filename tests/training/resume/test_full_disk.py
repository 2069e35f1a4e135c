"""A disk that is full in the middle of a snapshot: a real one, small and of the process's own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SCRIPTS
from forkserver import ForkServer

from keras_repro.processes.protocol import OUTPUT_NAME, Plan

OLDER = ["resume-epoch-2-step-0.h5", "resume-epoch-3-step-0.h5"]


@pytest.fixture
def trained(forkserver: ForkServer, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Trains tests/scripts/full_disk.py in a process of its own; returns what it says."""

    def train(*arguments: str) -> dict[str, Any]:
        process = tmp_path / "process"
        process.mkdir()
        given = (str(tmp_path / "disk"), *arguments)
        plan = Plan(folder=process, script=str(SCRIPTS / "full_disk.py"), arguments=given)
        outcome = forkserver.launcher.start(plan, environment=os.environ).wait()
        output = (process / OUTPUT_NAME).read_text()
        assert outcome.code == 0, output
        said: dict[str, Any] = json.loads(output.splitlines()[-1])
        said["reason"] = "No space left on device" if said["mounted"] else "File too large"
        said["folder"] = f"{tmp_path}/disk/run/snapshots"
        return said

    return train


def test_the_training_goes_on_and_older_snapshots_stay(trained: Any) -> None:
    said = trained("small", "warn", "at once")
    assert said["raised"] is None
    assert said["status"] == "finished"
    assert said["fingerprint"] == said["whole"] == said["again"]
    assert said["snapshots"] == OLDER
    path = f"{said['folder']}/resume-epoch-4-step-0.h5"
    assert said["warned"][0] == (
        f"keras_repro: no snapshot: cannot write {path}: {said['reason']}; training continues, older "
        f"snapshots in {said['folder']} are kept"
    )


def test_the_training_stops_where_that_is_asked_for(trained: Any) -> None:
    said = trained("small", "raise", "background")
    assert said["raised"] == (
        f"no snapshot: cannot write {said['folder']}/resume-epoch-4-step-0.h5: {said['reason']}; "
        f"training stops, older snapshots in {said['folder']} are kept. "
        "Fix the cause and start the program again"
    )
    assert said["warned"] == []
    assert said["snapshots"] == OLDER
    assert said["again"] == said["whole"]


def test_a_run_whose_records_could_not_be_written_goes_on_from_before_them(trained: Any) -> None:
    said = trained("filled", "warn", "at once")
    assert said["status"] == "stopped" or not said["mounted"]
    if said["mounted"]:
        assert said["warned"][0].startswith("keras_repro: no more sketches of the weights: cannot write")
        assert any(w.startswith("keras_repro: recording ended at ") for w in said["warned"])
    assert said["snapshots"] == OLDER
    assert said["again"] == said["whole"]
