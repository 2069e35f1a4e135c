"""A new run's ledger beside the recorded one while it grows: where they part is said at once."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from keras_repro.comparison.divergence import Divergence
from keras_repro.comparison.live import LiveComparison
from keras_repro.errors import LedgerError
from keras_repro.ledger.reader import open_ledger
from keras_repro.ledger.schema import Header, Record
from keras_repro.storage.run_folder import LEDGER_NAME
from keras_repro.workflows.reproduce.run_spec import RunSpec


class LiveMonitor:
    """Compares the new run's ledger with the recorded one while it grows.

    Args:
        folder: of the new run.
        recipe: of the recorded one.
        parts: is told, once, where they part.
    """

    def __init__(self, folder: Path, recipe: RunSpec, parts: Callable[[Divergence], None] | None) -> None:
        self._folder, self._recipe, self._parts = folder, recipe, parts
        self._name = recipe.ledger.path.resolve().parent.name
        self._live: LiveComparison | None = None
        self._position = 0
        self._path: Path | None = None
        self._header: Header | None = None
        with contextlib.suppress(LedgerError):
            self._live = LiveComparison(recipe.ledger.path)

    def poll(self) -> None:
        """Takes in what was written since."""
        if self._live is None or self._parts is None:
            return
        if self._path is None:
            made = matching_ledgers(self._folder, self._recipe)
            # A script may make several runs, the recorded one under any name: only its own is sure to be it.
            own = [m for m in made if self._recipe.of_whole_script or m.parent.name == self._name]
            self._path = own[0] if own else None
        for data in self._lines():
            try:
                if data.get("kind") == "header":
                    self._header = Header.from_dict(data)
                elif data.get("kind") != "step" and self._header is not None:
                    found = self._live.check(Record.from_dict(data), self._header)
                    if found is not None:
                        self._parts(found)
                        self._live = None
                        return
            except LedgerError:
                self._live = None
                return

    def _lines(self) -> Iterator[Mapping[str, Any]]:
        if self._path is None:
            return
        with contextlib.suppress(OSError), open(self._path, "rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._position += len(line)
                yield json.loads(line)


def matching_ledgers(folder: Path, recipe: RunSpec) -> list[Path]:
    """The ledgers of the new run that may be the recorded one's counterpart."""
    if recipe.of_whole_script:
        own = folder / LEDGER_NAME
        return [own] if own.exists() else []
    found = []
    for path in sorted((folder / "runs").rglob(LEDGER_NAME)):
        with contextlib.suppress(LedgerError):
            if open_ledger(path).header.get("coverage") == recipe.ledger.header.get("coverage"):
                found.append(path)
    return found
