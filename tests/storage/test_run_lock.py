"""Only one process at a time uses a run folder; a lock ends with its process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_repro.errors import RunFolderError
from keras_repro.storage.run_lock import RunLock, use_before

HOLDS = (
    "import sys, time; from pathlib import Path; from keras_repro.storage.run_lock import RunLock\n"
    "lock = RunLock(Path(sys.argv[1])); print('locked', flush=True); sys.stdin.read()"
)


def test_other_process_is_refused_until_this_one_ends(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"locked\n"
    with pytest.raises(RunFolderError, match=f"is in use by process {child.pid}: wait for it to end"):
        RunLock(tmp_path)
    child.kill()
    child.communicate()
    RunLock(tmp_path).close()


def test_second_lock_in_one_process_is_refused(tmp_path: Path) -> None:
    with RunLock(tmp_path), pytest.raises(RunFolderError, match="is in use by this process"):
        RunLock(tmp_path / "." / "")
    RunLock(tmp_path).close()


def test_forked_worker_does_not_keep_the_lock(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    lock = RunLock(tmp_path)
    worker = os.fork()
    if worker == 0:
        os.close(writer)
        os.read(reader, 1)  # until the parent has checked
        os._exit(0)
    lock.close()
    code = subprocess.run([sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.DEVNULL).returncode
    os.close(writer)
    os.waitpid(worker, 0)
    os.close(reader)
    assert code == 0


def test_link_is_not_followed_to_lock(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunFolderError, match="cannot lock run folder"):
        RunLock(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_lock_file_is_removed_at_the_end(tmp_path: Path) -> None:
    with RunLock(tmp_path, "workflow"):
        assert (tmp_path / "lock").read_text().split() == [str(os.getpid()), "keras_repro", "workflow"]
    assert list(tmp_path.iterdir()) == []


def test_lock_is_shared_within_one_process_on_request(tmp_path: Path) -> None:
    first, second = RunLock(tmp_path), RunLock(tmp_path, shared=True)
    first.close()
    code = subprocess.run([sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.DEVNULL, stderr=-3)
    assert code.returncode == 1
    with pytest.raises(RunFolderError, match="is in use by this process"):
        RunLock(tmp_path)
    second.close()
    RunLock(tmp_path).close()


def test_lock_file_of_another_program_is_kept(tmp_path: Path) -> None:
    for content in ("4711\n", "", "keras_repro"):
        (tmp_path / "lock").write_text(content)
        with RunLock(tmp_path):
            assert use_before(tmp_path) is None
        assert (tmp_path / "lock").read_text() == content


def test_use_is_that_before_the_lock(tmp_path: Path) -> None:
    assert use_before(tmp_path) is None
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"locked\n"
    assert use_before(tmp_path) == "recording"
    child.kill()
    child.communicate()
    with RunLock(tmp_path, "launched"):
        assert use_before(tmp_path) == "recording"
    with RunLock(tmp_path):
        assert use_before(tmp_path) is None
