"""Compare a run with a recorded one while it trains."""

from __future__ import annotations

import functools
import os
import warnings
from typing import Any

from keras_repro.comparison.divergence import Divergence
from keras_repro.comparison.ledger_cause import CompareContext
from keras_repro.comparison.record_diff import (
    difference,
    ending_text,
    incomparable_headers,
    most_fits,
)
from keras_repro.errors import LedgerError
from keras_repro.ledger.reader import open_ledger
from keras_repro.ledger.schema import Record


class LiveComparison:
    """Compare a run with a recorded one while it trains, record by record.

    Args:
        reference: the recorded run, a run folder or a ledger.

    Raises:
        LedgerError: the reference cannot be read, or has no record.
    """

    def __init__(self, reference: str | os.PathLike[str]) -> None:
        self._reference = open_ledger(reference)
        if self._reference.fingerprint is None:
            raise LedgerError(f"cannot compare with {self._reference.path}: it has no record")
        self._records = self._reference.typed_records()
        self._context: CompareContext | None = None
        self._over = False

    def check(self, record: Record, header: Any) -> Divergence | None:
        """Compare the next record of the run with the next one of the reference.

        Returns:
            The divergence; None if both agree, or if the reference has ended, which causes one warning.

        Raises:
            LedgerError: the reference cannot be compared with this run.
        """
        if self._context is None:
            reference = self._reference
            headers = reference.header, header.to_dict()
            reason = incomparable_headers(*headers)
            if reason is not None:
                raise LedgerError(f"cannot compare with {reference.path}: {reason}")
            count_fits = functools.cache(lambda: most_fits(reference))
            self._context = CompareContext(headers=headers, count_fits=count_fits)
        if self._over:
            return None
        expected = next(self._records, None)
        if expected is None:
            self._over = True
            warnings.warn(f"keras_repro: {self._ending()}", stacklevel=2)
            return None
        self._context = self._context.after(expected, record)
        divergence = difference(expected, record, self._context)
        self._over = divergence is not None
        return divergence

    def _ending(self) -> str:
        assert self._context is not None
        return (
            f"the same until {self._context.where()}, then the reference {self._reference.path} ends: "
            f"{ending_text(self._reference)}; later records are not compared"
        )
