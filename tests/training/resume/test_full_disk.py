"""A disk that is full in the middle of a snapshot: a real one, small and mounted by the process itself."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SCRIPTS
from forkserver import ForkServer

from keras_repro.processes.protocol import Plan
from keras_repro.storage.run_folder import OUTPUT_NAME

OLDER = ["resume-epoch-2-step-0.h5", "resume-epoch-3-step-0.h5"]


@pytest.fixture
def trained(forkserver: ForkServer, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run tests/scripts/full_disk.py in its own process, and return its report."""

    def train(*arguments: str) -> dict[str, Any]:
        process = tmp_path / "process"
        process.mkdir()
        given = (str(tmp_path / "disk"), *arguments)
        plan = Plan(folder=process, script=str(SCRIPTS / "full_disk.py"), arguments=given)
        outcome = forkserver.launcher.start(plan, environment=os.environ).wait()
        output = (process / OUTPUT_NAME).read_text()
        assert outcome.code == 0, output
        report: dict[str, Any] = json.loads(output.splitlines()[-1])
        report["reason"] = "No space left on device" if report["mounted"] else "File too large"
        report["folder"] = f"{tmp_path}/disk/run/snapshots"
        return report

    return train


def test_training_continues_and_older_snapshots_are_kept(trained: Any) -> None:
    report = trained("small", "warn", "at once")
    assert report["raised"] is None
    assert report["status"] == "finished"
    assert report["fingerprint"] == report["whole"] == report["again"]
    assert report["snapshots"] == OLDER
    path = f"{report['folder']}/resume-epoch-4-step-0.h5"
    assert report["warned"][0] == (
        f"keras_repro: no snapshot: cannot write {path}: {report['reason']}; training continues, older "
        f"snapshots in {report['folder']} are kept"
    )


def test_training_stops_with_raise(trained: Any) -> None:
    report = trained("small", "raise", "background")
    assert report["raised"] == (
        f"no snapshot: cannot write {report['folder']}/resume-epoch-4-step-0.h5: {report['reason']}; "
        f"training stops, older snapshots in {report['folder']} are kept. "
        "Fix the cause and start the program again"
    )
    assert report["warned"] == []
    assert report["snapshots"] == OLDER
    assert report["again"] == report["whole"]


def test_run_with_missing_records_is_resumed_before_them(trained: Any) -> None:
    report = trained("filled", "warn", "at once")
    assert report["status"] == "stopped" or not report["mounted"]
    if report["mounted"]:
        assert report["warned"][0].startswith("keras_repro: no more sketches of the weights: cannot write")
        assert any(w.startswith("keras_repro: recording ended at ") for w in report["warned"])
    assert report["snapshots"] == OLDER
    assert report["again"] == report["whole"]
