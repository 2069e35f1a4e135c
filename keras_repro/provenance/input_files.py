"""The files that a script read (data, and its own code), with the size and a digest of each.

>>> _ = Path("x.npy").write_bytes(b"123456")
>>> listed = describe(["x.npy", "/etc/hosts"], roots(None))
>>> listed["files"][0]["path"], listed["files"][0]["bytes"], listed["unnamed"]
('x.npy', 6, 1)
>>> _ = Path("x.npy").write_bytes(b"123457")
>>> changed_files(listed, roots(None))
[ChangedFile(path='x.npy', missing=False, bytes=(6, 6))]

Ledgers are published: files are named from a root that every machine has; all others are only counted.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blake3

from keras_repro.provenance.module_lookup import script_file
from keras_repro.provenance.redaction import public_file
from keras_repro.utils.untrusted_json import as_mapping, as_mappings

# Beyond this total, files are compared by size alone: a run must not wait for its record.
_MOST_BYTES = 4 << 30
_MOST_FILES = 10_000


@dataclass(frozen=True)
class ChangedFile:
    """A recorded file that differs here, or is missing.

    Attributes:
        path: as recorded, with its root unless that is the working folder.
        missing: whether there is no such file.
        bytes: its size in bytes as recorded, and here (None if it is missing).
    """

    path: str
    missing: bool
    bytes: tuple[int, int | None]

    @property
    def is_code(self) -> bool:
        """Whether it is a Python file, in the working folder or below another root."""
        return self.path.endswith(".py") or ".py in the " in self.path


def roots(script: str | os.PathLike[str] | None) -> dict[str, Path]:
    """Return the folders from which files are named, by name; the first that contains a file is used."""
    folders = {"working folder": Path.cwd()}
    if script is not None:
        folders["script's folder"] = script_file(script).resolve().parent
    base = os.environ.get("KERAS_HOME")
    with contextlib.suppress(RuntimeError):  # no home folder
        folders["Keras's folder of datasets"] = (Path(base) if base else Path.home() / ".keras") / "datasets"
    return folders


def describe(paths: Iterable[str | os.PathLike[str]], roots: Mapping[str, Path]) -> dict[str, Any]:
    """Describe the existing files among these, for a ledger.

    Args:
        paths: of the files.
        roots: from `roots`.

    Returns:
        `files`: root, path, bytes and digest (32 hexadecimal digits, None beyond 4 GiB in all) of each;
        `unnamed`: how many were left out: they are outside of all roots, or too many.
    """
    files: list[dict[str, Any]] = []
    unnamed, budget = 0, _MOST_BYTES
    for path in sorted({os.path.abspath(p) for p in paths}):
        try:
            status = os.stat(path)
        except OSError:
            continue
        if not stat.S_ISREG(status.st_mode):
            continue
        named = _named(path, roots)
        if named is None or len(files) == _MOST_FILES:
            unnamed += 1
            continue
        digest = file_digest(path) if status.st_size <= budget else None
        budget -= status.st_size if digest else 0
        files.append({**named, "bytes": status.st_size, "digest": digest})
    return {"files": files, "unnamed": unnamed}


def changed_files(listed: Any, roots: Mapping[str, Path]) -> list[ChangedFile]:
    """Return the recorded files that differ here.

    Args:
        listed: the value of `describe`, from a ledger that is not trusted.
        roots: of this machine.
    """
    changed = []
    for entry in as_mappings(as_mapping(listed).get("files")):
        root, path, size = (entry.get(n) for n in ("root", "path", "bytes"))
        if (
            not isinstance(root, str)
            or root not in roots
            or not isinstance(path, str)
            or not isinstance(size, int)
        ):
            continue
        parts = Path(path).parts
        if not parts or Path(path).is_absolute() or ".." in parts:
            continue  # never look outside of the root
        name = path if root == "working folder" else f"{path} in the {root}"
        file = Path(roots[root], path)
        try:
            status = os.stat(file)
        except OSError:
            changed.append(ChangedFile(name, True, (size, None)))
            continue
        same = status.st_size == size and stat.S_ISREG(status.st_mode)
        if same and entry.get("digest") is not None:
            same = file_digest(file) == entry["digest"]
        if not same:
            changed.append(ChangedFile(name, False, (size, status.st_size)))
    return changed


def file_digest(path: str | os.PathLike[str]) -> str | None:
    """Return the digest of a file's content, 32 hexadecimal digits; None if it cannot be read."""
    hasher = blake3.blake3()
    try:
        hasher.update_mmap(path)
    except OSError:
        return None
    return hasher.hexdigest()[:32]


def _named(path: str, roots: Mapping[str, Path]) -> dict[str, str] | None:
    for root, folder in roots.items():
        relative = public_file(path, folder)
        if relative is not None:
            return {"root": root, "path": relative}
    return None
