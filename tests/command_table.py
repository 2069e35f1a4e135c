"""The commands and their options that write a file; the content of a folder as a value; a folder in use."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ledger_builders
from ledger_builders import KERNEL, exit_record, training, write

COMMANDS = {
    "run": ["run", "s.py", "--data=given.csv"],
    "verify": ["verify", "s.py", "given.csv"],
    "vary": ["verify", "s.py", "given.csv", "--vary", "locale"],
    "compare": ["compare", "a", "b"],
    "diagnose": ["diagnose", "a", "b"],
    "reproduce": ["reproduce", "a", "--yes", "--anyway"],
    "doctor": ["doctor"],
    "report": ["report", "a"],
}
WRITES = [
    *((command, "--json") for command in COMMANDS),
    ("vary", "--html"),
    ("compare", "--html"),
    ("compare", "--png"),
    ("report", "-o"),
]

RUN_COMMANDS = ("run", "verify", "vary", "diagnose", "reproduce")

HOLD = (
    "import sys; from pathlib import Path; from keras_repro.storage.run_lock import RunLock\n"
    "lock = RunLock(Path(sys.argv[1]), 'launched'); print('locked', flush=True); sys.stdin.read()"
)

# The files of a launched run that `write_run` writes.
OWN = ("ledger.jsonl", "sketches.bin", "output.txt", "snapshots/fit-1-end.h5", "unobserved-12")


def write_run(folder: Path, *, changed: str = "") -> None:
    """Write the run of a launched script, with all its files; another text is another run."""
    header = {"coverage": "smr", "command": {"script": "s.py", "arguments": [], "hidden": 0}}
    records = ledger_builders.changed(training(), "epoch 0 1", "weights", KERNEL, changed)
    write(folder, [*records, exit_record()], **header)
    put(folder, OWN[1:])


def put(folder: Path, names: Iterable[str]) -> None:
    """Write files whose content names them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}\n")


def tree(folder: Path) -> dict[str, tuple[str, int, str]]:
    """Return kind, mode and digest (of a link: its target) of all below a folder, by relative path."""
    entries = {}
    for path, folders, files in os.walk(folder):
        for name in (*folders, *files):
            entry = Path(path, name)
            mode = entry.lstat().st_mode
            if entry.is_symlink():
                value = ("link", 0, os.readlink(entry))
            elif entry.is_dir():
                value = ("folder", mode, "")
            elif not entry.is_file():
                value = ("special", mode, "")
            else:
                value = ("file", mode, hashlib.sha256(entry.read_bytes()).hexdigest())
            entries[str(entry.relative_to(folder))] = value
    return entries


@contextmanager
def in_use(folder: Path) -> Iterator[int]:
    """Lock a folder by another process during the block; yield its number."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        yield holder.pid
        holder.kill()
