"""Compare a run with a recorded one while it trains."""

from __future__ import annotations

import warnings

from keras_repro.comparison.divergence import Divergence
from keras_repro.comparison.ledger_cause import CompareContext
from keras_repro.comparison.record_diff import difference, ending_text, incomparable_headers
from keras_repro.errors import LedgerError
from keras_repro.ledger.reader import LedgerReader
from keras_repro.ledger.schema import Header, Record


class LiveComparison:
    """Compare a run with a recorded one while it trains, record by record.

    Args:
        reference: the ledger of the recorded run.

    Raises:
        LedgerError: the reference is damaged, or has no record.
    """

    def __init__(self, reference: LedgerReader) -> None:
        if reference.fingerprint is None:
            raise LedgerError(f"cannot compare with {reference.path}: it has no record")
        self._reference = reference
        self._records = reference.typed_records()
        self._context: CompareContext | None = None
        self._over = False

    def check(self, record: Record, header: Header) -> Divergence | None:
        """Compare the next record of the run with the next one of the reference.

        Args:
            record: the record.
            header: the header of its ledger.

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
            self._context = CompareContext([reference], headers)
        if self._over:
            return None
        expected = next(self._records, None)
        if expected is None:
            self._over = True
            warnings.warn(f"keras_repro: {self._ending()}", stacklevel=2)
            return None
        self._context.add(expected, record)
        divergence = difference(expected, record, self._context)
        self._over = divergence is not None
        return divergence

    def _ending(self) -> str:
        assert self._context is not None
        return (
            f"the same until {self._context.where()}, then the reference {self._reference.path} ends: "
            f"{ending_text(self._reference)}; later records are not compared"
        )
