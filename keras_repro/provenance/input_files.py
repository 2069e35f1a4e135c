"""The files that a script read: data, and code of its own; how large, and a digest of each.

>>> _ = Path("x.npy").write_bytes(b"123456")
>>> listed = describe(["x.npy", "/etc/hosts"], roots(None))
>>> listed["files"][0]["path"], listed["files"][0]["bytes"], listed["unnamed"]
('x.npy', 6, 1)
>>> _ = Path("x.npy").write_bytes(b"123457")
>>> differing(listed, roots(None))
[Changed(path='x.npy', missing=False, bytes=(6, 6))]

Ledgers are published: files are named from a root that every machine has, others are only counted.
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

from keras_repro.provenance.redaction import public_file
from keras_repro.utils.untrusted_json import as_mapping, as_mappings

# Beyond this, together, files are told apart by their size alone: a run must not wait for its record.
_MOST_BYTES = 4 << 30
_MOST_FILES = 10_000


@dataclass(frozen=True)
class Changed:
    """A recorded file that is another one here, or is not here.

    Attributes:
        path: as it was recorded, with its root where that is not the working folder.
        missing: whether there is no such file.
        bytes: its size in bytes, then and here (None where it is missing).
    """

    path: str
    missing: bool
    bytes: tuple[int, int | None]


def roots(script: str | os.PathLike[str] | None) -> dict[str, Path]:
    """The folders from which files are named, by what they are called; the first that fits names a file."""
    found = {"working folder": Path.cwd()}
    if script is not None:
        found["script's folder"] = Path(script).resolve().parent
    base = os.environ.get("KERAS_HOME")
    with contextlib.suppress(RuntimeError):  # nobody has a home here
        found["Keras's folder of datasets"] = (Path(base) if base else Path.home() / ".keras") / "datasets"
    return found


def describe(paths: Iterable[str | os.PathLike[str]], roots: Mapping[str, Path]) -> dict[str, Any]:
    """Describes the files that are there, for a ledger.

    Args:
        paths: of the files.
        roots: as `roots` gives them.

    Returns:
        `files`: root, path, bytes and digest (32 hexadecimal digits, None beyond 4 GiB in all) of each;
        `unnamed`: how many were left out, being outside of all roots or too many.
    """
    files: list[dict[str, Any]] = []
    unnamed, left = 0, _MOST_BYTES
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
        digest = _digest(path) if status.st_size <= left else None
        left -= status.st_size if digest else 0
        files.append({**named, "bytes": status.st_size, "digest": digest})
    return {"files": files, "unnamed": unnamed}


def differing(listed: Any, roots: Mapping[str, Path]) -> list[Changed]:
    """What of the recorded files differs here.

    Args:
        listed: as `describe` gave it, from a ledger that somebody else may have written.
        roots: of this machine.
    """
    found = []
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
            continue  # never looked for outside of what it is named from
        name = path if root == "working folder" else f"{path} in the {root}"
        here = Path(roots[root], path)
        try:
            status = os.stat(here)
        except OSError:
            found.append(Changed(name, True, (size, None)))
            continue
        same = status.st_size == size and stat.S_ISREG(status.st_mode)
        if same and entry.get("digest") is not None:
            same = _digest(here) == entry["digest"]
        if not same:
            found.append(Changed(name, False, (size, status.st_size)))
    return found


def _named(path: str, roots: Mapping[str, Path]) -> dict[str, str] | None:
    for root, folder in roots.items():
        relative = public_file(path, folder)
        if relative is not None:
            return {"root": root, "path": relative}
    return None


def _digest(path: str | os.PathLike[str]) -> str | None:
    hasher = blake3.blake3()
    try:
        hasher.update_mmap(path)
    except OSError:
        return None
    return hasher.hexdigest()[:32]
