"""Folders in which nothing can be written, and the root of a file system: commands are refused or work there.

The file systems are mounted in a namespace of their own. Without such a right, plain folders stand for them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import TESTS

COMMANDS = """
import os, signal, stat, subprocess, sys
from pathlib import Path
from command_table import COMMANDS, RUN_COMMANDS, WRITES, tree, write_run
from keras_repro.cli.main import main

def content(folder):
    (folder / "notes.txt").write_text("notes")
    write_run(folder / "run")

can_mount = sys.argv[1] == "mounts"
for name in ("a", "b"):
    write_run(Path(name), changed=name)
Path("s.py").write_text("print('ran')")
root, locked = Path("root"), Path("locked")
for folder in (root, locked):
    folder.mkdir()
    if can_mount:
        subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)
    content(folder)
if can_mount:
    subprocess.run(["mount", "-o", "remount,ro", locked], check=True)
else:
    locked.chmod(0o555)
is_locked = not os.access(locked, os.W_OK)

before = tree(Path("."))
for force in ([], ["--force"]):
    for command, option in WRITES:
        for place in ["root", "root/notes.txt", "locked/notes.txt", *(["locked/out"] if is_locked else [])]:
            assert main([*COMMANDS[command], option, place, *force]) == 2, (command, option, place)
            assert tree(Path(".")) == before, (command, option, place)
    for command in RUN_COMMANDS:
        for place in ("locked", "locked/new", "locked/run") if is_locked else ():
            assert main([*COMMANDS[command], "--run-dir", place, *force]) == 2, (command, place)
            assert tree(Path(".")) == before, (command, place)
for command in RUN_COMMANDS:
    assert main([*COMMANDS[command], "--run-dir", "root", "--force"]) == 2  # the script trains nothing
    after = tree(Path("."))
    assert {name for name in before if after.get(name) != before[name]} <= {"root"}, command
assert os.path.ismount(root) == can_mount
print("as expected", can_mount)
"""


def test_limited_places(tmp_path: Path) -> None:
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    can_mount = shutil.which("unshare") is not None and not subprocess.run([*namespace, "true"]).returncode
    command = [*(namespace if can_mount else []), sys.executable, "-c", COMMANDS]
    path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, "mounts" if can_mount else "folders"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"as expected {can_mount}\n")
