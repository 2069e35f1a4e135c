"""Objects that are closed at the end of their `with` block or of their use."""

from __future__ import annotations

import contextlib
from typing import Self


class Closeable:
    """Hold something open until `close`, the end of a `with` block, or the end of the object."""

    def close(self) -> None:
        """Close it. Idempotent."""
        raise NotImplementedError

    def __del__(self) -> None:
        # Keras does not call a callback after its last use. An object that failed to open has no attributes.
        with contextlib.suppress(AttributeError, OSError):
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()
