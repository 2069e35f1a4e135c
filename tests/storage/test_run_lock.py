"""One process at a time in a run folder; a lock dies with its process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_repro.errors import RunFolderError
from keras_repro.storage.run_lock import RunLock

HOLDS = (
    "import sys, time; from pathlib import Path; from keras_repro.storage.run_lock import RunLock\n"
    "lock = RunLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
)


def test_another_process_is_refused_until_this_one_is_dead(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    with pytest.raises(RunFolderError, match=f"is in use by process {child.pid}: wait for it to end"):
        RunLock(tmp_path)
    child.kill()
    child.communicate()
    RunLock(tmp_path).close()


def test_this_process_is_refused_a_second_time(tmp_path: Path) -> None:
    with RunLock(tmp_path), pytest.raises(RunFolderError, match="is in use by this process"):
        RunLock(tmp_path / "." / "")
    RunLock(tmp_path).close()


def test_a_forked_worker_does_not_go_on_holding_it(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    lock = RunLock(tmp_path)
    worker = os.fork()
    if worker == 0:
        os.close(writer)
        os.read(reader, 1)  # until the parent has looked
        os._exit(0)
    lock.close()
    code = subprocess.run([sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.DEVNULL).returncode
    os.close(writer)
    os.waitpid(worker, 0)
    os.close(reader)
    assert code == 0


def test_no_lock_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunFolderError, match="cannot lock run folder"):
        RunLock(tmp_path)
    assert not (tmp_path / "elsewhere").exists()
