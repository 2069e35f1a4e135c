"""Bytes of texts for a hash, so that no two lists of texts have the same bytes."""

from __future__ import annotations

import struct


def encoded(text: str) -> bytes:
    """Return a text as UTF-8."""
    # A name in a ledger may hold half a surrogate pair, which JSON can express.
    return text.encode("utf-8", "surrogatepass")


def framed(data: bytes) -> bytes:
    """Return bytes with their length before them."""
    return struct.pack("<q", len(data)) + data
