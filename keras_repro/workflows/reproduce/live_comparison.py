"""Compare a new run's ledger with the recorded one while it grows."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from keras_repro.comparison.divergence import Divergence
from keras_repro.comparison.live import LiveComparison
from keras_repro.errors import LedgerError
from keras_repro.ledger.reader import open_ledger
from keras_repro.ledger.schema import Header, Record
from keras_repro.storage.run_folder import LEDGER_NAME, RUNS_NAME
from keras_repro.utils.growing_file import GrowingFile
from keras_repro.workflows.reproduce.run_spec import RunSpec


def compare_live(folder: Path, spec: RunSpec, on_divergence: Callable[[Divergence], None]) -> Iterator[None]:
    """Compare a new run with the recorded one up to the first divergence, a step whenever more is asked for.

    Args:
        folder: of the new run.
        spec: of the recorded run.
        on_divergence: called once, with the first divergence.
    """
    with contextlib.suppress(LedgerError):
        comparison = LiveComparison(spec.ledger)
        while (path := _ledger_to_compare(folder, spec)) is None:
            yield
        ledger, header = GrowingFile(path), None
        while True:
            for line in ledger.new_lines():
                data = json.loads(line)
                if data.get("kind") == "header":
                    header = Header.from_dict(data)
                elif data.get("kind") != "step" and header is not None:
                    divergence = comparison.check(Record.from_dict(data), header)
                    if divergence is not None:
                        on_divergence(divergence)
                        return
            yield


def _ledger_to_compare(folder: Path, spec: RunSpec) -> Path | None:
    # A script may make several runs, the recorded one under any name: only the same name is certain.
    name = spec.ledger.path.resolve().parent.name
    ledgers = matching_ledgers(folder, spec)
    return next((p for p in ledgers if spec.of_whole_script or p.parent.name == name), None)


def matching_ledgers(folder: Path, spec: RunSpec) -> list[Path]:
    """Return the ledgers of a new run that may correspond to the recorded one."""
    if spec.of_whole_script:
        own = folder / LEDGER_NAME
        return [own] if own.exists() else []
    ledgers = []
    runs = folder / RUNS_NAME
    for path in () if runs.is_symlink() else sorted(runs.rglob(LEDGER_NAME)):
        with contextlib.suppress(LedgerError):
            if open_ledger(path).header["coverage"] == spec.ledger.header["coverage"]:
                ledgers.append(path)
    return ledgers
