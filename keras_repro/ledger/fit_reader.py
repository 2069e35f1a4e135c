"""Read one fit of a ledger, as if it were the only one of its run.

first, second = open_fits("runs/a", (1, 2))
first.fingerprint        # that of a run of this fit alone, as `DeterminismCallback` records it
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_repro.errors import LedgerError
from keras_repro.ledger.chain import FIRST_LINK, next_link
from keras_repro.ledger.reader import LedgerReader, ledger_path
from keras_repro.ledger.schema import Record
from keras_repro.storage.digest import array_digest


def open_fits(run: str | os.PathLike[str], numbers: Sequence[int]) -> list[LedgerReader]:
    """Open fits of one run for reading.

    Args:
        run: a run folder or a ledger.
        numbers: the numbers of different fits, from 1.

    Raises:
        LedgerError: the ledger cannot be read, or it has no such fits.
    """
    path = ledger_path(run)
    with LedgerReader(path) as ledger:
        fits = sum(record.kind == "fit" for record in ledger.typed_records())
    if fits < 2:
        raise LedgerError(f"cannot compare fits of {path}: it has {fits or 'no'} fit{'s' * (fits == 0)}")
    if len(set(numbers)) < len(numbers) or not all(1 <= n <= fits for n in numbers):
        raise LedgerError(
            f"cannot compare fits {' and '.join(map(str, numbers))} of {path}: it has {fits} fits. "
            f"Use two different numbers from 1 to {fits}"
        )
    return [FitReader(path, n - 1) for n in numbers]


class FitReader(LedgerReader):
    """One fit of a ledger. Its records have the number 0 and a chain of their own.

    Args:
        path: the ledger.
        fit: the number of the fit, from 0.
    """

    def __init__(self, path: Path, fit: int) -> None:
        super().__init__(path)
        self.fit = fit
        self.header = self.header | {"coverage": self.header["coverage"].replace("r", "")}

    @property
    def title(self) -> str:
        """The fit in words, for messages."""
        return f"fit {self.number_in_file(0) + 1} of {self.path}"

    @property
    def identity(self) -> str:
        """A text that is equal for copies of the same fit."""
        return f"{self.digest} {self.fit}"

    def number_in_file(self, fit: int) -> int:
        """Return the number that a fit of these records has in the files of the run."""
        return fit + (self.fit or 0)

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield the records of the fit as plain dicts."""
        for data in super().records():
            if data.get("fit") == self.fit:
                yield data | {"fit": 0}

    def typed_records(self) -> Iterator[Record]:
        """Yield the records of the fit, with links of their own; those of the whole chain are verified."""
        link = FIRST_LINK
        for record in super().typed_records():
            if record.fit == self.fit:
                number = {"fit": array_digest("fit", 0)} if record.kind == "fit" else record.sections
                record = replace(record, fit=0, sections=number)
                link = next_link(link, record.position, record.sections)
                yield replace(record, link=link)
