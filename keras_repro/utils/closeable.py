"""What is open, and is closed where its `with` block or its use ends."""

from __future__ import annotations

import contextlib
from typing import Self


class Closeable:
    """Holds something open until `close`, the end of a `with` block, or that of the object."""

    def close(self) -> None:
        """Lets go of what it holds; a second call does nothing."""
        raise NotImplementedError

    def __del__(self) -> None:
        # A callback is never told that it is used no more. What could not be opened holds nothing.
        with contextlib.suppress(AttributeError, OSError):
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()
