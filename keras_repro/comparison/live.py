"""A run beside a recorded one, compared while it is being made."""

from __future__ import annotations

import functools
import os
import warnings
from typing import Any

from keras_repro.comparison.divergence import Divergence
from keras_repro.comparison.ledger_cause import CompareContext
from keras_repro.comparison.record_diff import difference, ended_how, fits_in, incomparable_headers
from keras_repro.errors import LedgerError
from keras_repro.ledger.reader import open_ledger
from keras_repro.ledger.schema import Record


class LiveComparison:
    """Compares a run with a recorded one while it is being made, record by record.

    Args:
        reference: a run folder or ledger.

    Raises:
        LedgerError: it cannot be read, or holds no record.
    """

    def __init__(self, reference: str | os.PathLike[str]) -> None:
        self._file = open_ledger(reference)
        if self._file.fingerprint is None:
            raise LedgerError(f"{self._file.path} holds no record to compare with")
        self._records = self._file.typed_records()
        self._context: CompareContext | None = None
        self._over = False

    def check(self, record: Record, header: Any) -> Divergence | None:
        """Compares the next record of the run with the reference's next.

        Returns:
            The divergence, or None where both agree or the reference has ended, which is warned of once.

        Raises:
            LedgerError: the reference cannot be compared with this run at all.
        """
        if self._context is None:
            mine = header.to_dict()
            reason = incomparable_headers(self._file.header, mine)
            if reason is not None:
                raise LedgerError(f"cannot compare with {self._file.path}: {reason}")
            count_fits = functools.cache(lambda: fits_in(self._file))
            self._context = CompareContext(headers=(self._file.header, mine), count_fits=count_fits)
        if self._over:
            return None
        expected = next(self._records, None)
        if expected is None:
            self._over = True
            warnings.warn(f"keras_repro: {self._how_it_ended()}", stacklevel=2)
            return None
        self._context = self._context.after(expected, record)
        found = difference(expected, record, self._context)
        self._over = found is not None
        return found

    def _how_it_ended(self) -> str:
        assert self._context is not None
        return (
            f"the same until {self._context.where()}, then the reference {self._file.path} ends: "
            f"{ended_how(self._file)}; what follows is compared with nothing"
        )
