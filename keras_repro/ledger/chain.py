"""The chain of a ledger's records, and the fingerprint that prints its last link.

Each link commits to the link before it and to the section digests of one record.

    >>> link = next_link(FIRST_LINK, "epoch 0 3", {"weights": "00ff"})
    >>> fingerprint(link, "sm")
    'kr1-sm-1790067e99e08eba343cb6331f67e4b9'

The hash is BLAKE3 (O'Connor, Aumasson, Neves and Wilcox-O'Hearn, 2020).
"""

from __future__ import annotations

from collections.abc import Mapping

import blake3

from keras_repro.utils.framing import encoded, framed

ALGORITHM = "blake3"
SCHEME = "kr1"
FIRST_LINK = "0" * 64

_SHOWN_DIGITS = 32  # of a link in the fingerprint: 128 bits


def next_link(link: str, position: str, sections: Mapping[str, str]) -> str:
    """Return the chain's link after one more record.

    Args:
        link: the link before it, 64 hexadecimal digits; `FIRST_LINK` at the start.
        position: kind and numbers of the record, such as `"epoch 0 3"`.
        sections: digests by section name; hashed in sorted order.

    Returns:
        64 hexadecimal digits.
    """
    parts = [bytes.fromhex(link), framed(encoded(position))]
    for name in sorted(sections):
        parts += [framed(encoded(name)), framed(encoded(sections[name]))]
    return blake3.blake3(b"".join(parts)).hexdigest()


def fingerprint(link: str, coverage: str, *, partial: bool = False) -> str:
    """Return a run's fingerprint, the line for a paper.

    Args:
        link: the chain's last link.
        coverage: the letters of what the chain commits to (docs/ledger.md).
        partial: whether the run was stopped or killed before its end.

    Returns:
        Such as `"kr1-smr-0f3a..."`, followed by `-partial` if the run did not finish.
    """
    return f"{SCHEME}-{coverage}-{link[:_SHOWN_DIGITS]}" + ("-partial" if partial else "")
