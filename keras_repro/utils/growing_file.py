"""Read a file of lines while another process appends to it.

>>> import pathlib, tempfile
>>> path = pathlib.Path(tempfile.mkdtemp(), "lines")
>>> lines = GrowingFile(path)
>>> list(lines.new_lines()), path.write_bytes(b"one\\ntw")
([], 6)
>>> list(lines.new_lines()), path.write_bytes(b"one\\ntwo\\n")
([b'one\\n'], 8)
>>> list(lines.new_lines())
[b'two\\n']
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


class GrowingFile:
    """Yield the complete lines of a file as they are added.

    Args:
        path: the file; it may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0

    def new_lines(self) -> Iterator[bytes]:
        """Yield the complete lines that were added since the last call; none if the file cannot be read."""
        with contextlib.suppress(OSError), open(self.path, "rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._position += len(line)
                yield line
