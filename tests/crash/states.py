"""Compute the states of a folder that a crash may leave, from the changes made to it.

There are two models of a crash. *The process dies*: all its writes arrive, the last one in part. *The machine
dies*: everything that `fsync` did not make durable may be missing. The second model is that of Pillai et al.,
"All File Systems Are Not Created Equal" (ALICE, OSDI 2014), with the bounded search of Mohan et al., "Finding
Crash-Consistency Bugs with Bounded Black-Box Crash Testing" (CrashMonkey and ACE, OSDI 2018): data is
durable when the file is synced, a name when its folder is; pending changes arrive up to any of them, without
any one of them, or one alone; a write arrives in part, or as zeros (a file may grow before its bytes
arrive).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from crash.disk import Change

_TORN = (0.01, 0.5, 0.99)


@dataclass(frozen=True)
class Tree:
    """A folder's content.

    Attributes:
        files: the bytes of each file by its path.
        folders: paths of the folders in it.
    """

    files: Mapping[str, bytes]
    folders: frozenset[str]

    @classmethod
    def read(cls, folder: Path) -> Tree:
        """Read the content of a folder."""
        paths = list(folder.rglob("*")) if folder.exists() else []
        files = {str(p.relative_to(folder)): p.read_bytes() for p in paths if p.is_file()}
        return cls(files, frozenset(str(p.relative_to(folder)) for p in paths if p.is_dir()))

    def write(self, folder: Path) -> None:
        """Create a folder with this content. All files have the same time: nothing may depend on it."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path in sorted(self.folders):
            (folder / path).mkdir()
        for path, data in self.files.items():
            (folder / path).write_bytes(data)
            os.utime(folder / path, (0, 0))

    def after(self, changes: Sequence[Change]) -> Tree:
        """Return the content after some changes; a change may depend on one that is missing."""
        numbers = {path: number for number, path in enumerate(sorted(self.files), start=1)}
        names = dict(numbers)
        contents = {numbers[path]: data for path, data in self.files.items()}
        folders = set(self.folders)
        for change in changes:
            data = contents.get(change.file, b"")
            if change.kind == "create":
                names[change.path] = change.file
            elif change.kind == "write":
                data = data.ljust(change.offset, b"\0")
                end = change.offset + len(change.data)
                contents[change.file] = data[: change.offset] + change.data + data[end:]
            elif change.kind == "truncate":
                contents[change.file] = data[: change.offset].ljust(change.offset, b"\0")
            elif change.kind == "rename":
                names.pop(change.path, None)
                names[change.target] = change.file
            elif change.kind == "unlink":
                names.pop(change.path, None)
            elif change.kind == "mkdir" and change.path != ".":
                folders.add(change.path)
        reached = {f for f in folders if all(str(p) in folders for p in PurePosixPath(f).parents[:-1])}
        files = {
            path: contents.get(number, b"")
            for path, number in names.items()
            if str(PurePosixPath(path).parent) in reached | {"."}
        }
        return Tree(files, frozenset(reached))


@dataclass(frozen=True)
class Left:
    """The state after a crash.

    Attributes:
        point: number of changes that had begun.
        words: description of the changes that arrived.
        tree: the folder.
        kept: what must have arrived, by path: of a ledger, its first bytes.
    """

    point: int
    words: str
    tree: Tree
    kept: Mapping[str, bytes]


def after_the_process(start: Tree, changes: Sequence[Change]) -> Iterator[Left]:
    """Yield the states if the process dies at each change in turn."""
    for point in range(len(changes) + 1):
        done = changes[:point]
        tree = start.after(done)
        yield Left(point, "all arrived", tree, tree.files)
        last = changes[point] if point < len(changes) else None
        if last is not None and last.kind == "write":
            for share in _TORN:
                torn = replace(last, data=last.data[: _part(last, share)])
                words = f"of {last.words} the first {len(torn.data)}"
                yield Left(point + 1, words, start.after([*done, torn]), tree.files)


def after_the_machine(start: Tree, changes: Sequence[Change]) -> Iterator[Left]:
    """Yield the possible states if the machine dies at each change in turn."""
    seen: set[tuple[tuple[tuple[str, bytes], ...], frozenset[str], int]] = set()
    for point in range(1, len(changes) + 1):
        done = list(changes[:point])
        pending = _pending(done)
        durable = start.after([c for i, c in enumerate(done) if i not in pending]).files
        for words, chosen in _arrivals(done, pending):
            tree = start.after(chosen)
            key = (tuple(sorted(tree.files.items())), tree.folders, len(durable.get("ledger.jsonl", b"")))
            if key not in seen:
                seen.add(key)
                yield Left(point, words, tree, durable)


def _pending(changes: Sequence[Change]) -> list[int]:
    """Return the indices of changes that are not durable yet."""
    pending: list[int] = []
    for index, change in enumerate(changes):
        if change.kind == "fsync":
            pending = [
                i for i in pending if changes[i].file != change.file or changes[i].kind not in _OF_DATA
            ]
        elif change.kind == "fsync names":
            pending = [
                i for i in pending if changes[i].kind in _OF_DATA or _folder(changes[i]) != change.path
            ]
        else:
            pending.append(index)
    return pending


_OF_DATA = ("write", "truncate")


def _folder(change: Change) -> str:
    return str(PurePosixPath(change.target or change.path).parent)


def _arrivals(changes: Sequence[Change], pending: Sequence[int]) -> Iterator[tuple[str, list[Change]]]:
    """Yield the subsets of pending changes that may arrive."""

    def with_only(arrived: Sequence[int], partly: Mapping[int, Change] | None = None) -> list[Change]:
        missing = set(pending) - set(arrived)
        return [(partly or {}).get(i, c) for i, c in enumerate(changes) if i not in missing]

    yield "no pending change", with_only([])
    for place, index in enumerate(pending):
        change = changes[index]
        yield f"up to {change.words}", with_only(pending[: place + 1])
        yield f"all but {change.words}", with_only([i for i in pending if i != index])
        yield f"only {change.words}", with_only([index])
        if change.kind == "write":
            for words, partly in _parts(change):
                yield f"up to {words}", with_only(pending[: place + 1], {index: partly})
                yield f"all, but {words}", with_only(pending, {index: partly})


def _parts(change: Change) -> Iterator[tuple[str, Change]]:
    half = _part(change, 0.5)
    zeros = bytes(len(change.data))
    yield f"half of {change.words}", replace(change, data=change.data[:half])
    yield f"zeros for {change.words}", replace(change, data=zeros)
    yield f"a first half of {change.words}", replace(change, data=change.data[:half] + zeros[half:])
    yield f"a second half of {change.words}", replace(change, data=zeros[:half] + change.data[half:])


def _part(change: Change, share: float) -> int:
    """Return the size of a part of a write: neither nothing nor all of it."""
    return min(max(1, round(len(change.data) * share)), max(1, len(change.data) - 1))
