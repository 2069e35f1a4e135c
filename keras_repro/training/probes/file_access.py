"""Which lines of the user's code open which files to read, with a digest of what is in them.

For a diagnosis: what one run reads may be what an earlier one has left. Files that this process has written
itself are its own matter. What is opened by C++ alone (a `TFRecordDataset`, say) is not heard.
"""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Callable
from typing import Any

import xxhash

from keras_repro.source_code.call_site import user_call_site
from keras_repro.storage.trace_file import Event
from keras_repro.training.probes import opens

_PART = 1 << 20  # bytes
_MOST_PARTS = 64
_MOST_FILES = 2000


class OpenedFiles:
    """Hears of files that are opened, and tells of those that a line of the user's reads.

    Args:
        tell: is given an event for each.
    """

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._written: set[str] = set()
        self._told: set[tuple[str, str, int]] = set()
        self._busy = threading.local()
        self._stopped = False
        prefixes = {sys.prefix, sys.base_prefix, "/proc", "/sys", "/dev", "/etc", "/usr"}
        self._left_out = tuple(os.path.join(p, "") for p in prefixes)

    def hear(self, args: tuple[Any, ...], frame: Any) -> None:
        """Takes in what an audit event `open` says.

        Args:
            args: of the event: path, mode and flags.
            frame: that opens.
        """
        path, mode, flags = args[:3]
        if isinstance(path, str | bytes):
            self._take(os.fsdecode(path), frame, writes=opens.opens_for_writing(mode, flags))

    def stop(self) -> None:
        """Hears of no more; an audit hook cannot be taken back."""
        self._stopped = True

    def watch_h5py(self, module: Any) -> None:
        """Also hears of what h5py opens, by C alone."""
        opens.watch_h5py(module, lambda path, frame, writes: self._take(path, frame, writes=writes))

    def _take(self, path: str, frame: Any, *, writes: bool) -> None:
        if self._stopped or getattr(self._busy, "here", False) or path.endswith((".py", ".pyc")):
            return
        self._busy.here = True
        try:
            real = os.path.realpath(path)
            if writes:
                self._written.add(real)
            elif not real.startswith(self._left_out) and real not in self._written:
                self._read(real, frame)
        except (OSError, ValueError):  # the working folder is gone
            return
        finally:
            self._busy.here = False

    def _read(self, path: str, frame: Any) -> None:
        line = user_call_site(frame)
        if line is None or len(self._told) >= _MOST_FILES:
            return
        if (path, line.file, line.line) in self._told:
            return
        self._told.add((path, line.file, line.line))
        digest = _digest(path)
        if digest is not None:
            self._tell(
                Event(
                    kind="opened",
                    key=f"{path} {line.file}:{line.line}",
                    value=digest,
                    info={"file": path, "source": line.to_dict()},
                )
            )


def _digest(path: str) -> str | None:
    """A digest of a file's bytes, of a large one of parts all over it; None where there is no such file."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return None
        parts = -(-status.st_size // _PART)
        step = max(1, parts / _MOST_PARTS)
        hasher = xxhash.xxh3_64(str(status.st_size).encode())
        with open(path, "rb") as file:
            for number in range(min(parts, _MOST_PARTS)):
                file.seek(int(number * step) * _PART)
                hasher.update(file.read(_PART))
        return hasher.hexdigest()
    except OSError:
        return None
