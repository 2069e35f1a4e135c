"""A launched script whose fits of a trainer are resumable: `keras-repro run SCRIPT --resume`.

    launched.begin(folder, session)             # by the process that runs the script
    with_it = launched.present()                # by the trainer; None where there is no such launch
    with_it.next_folder()                       # where a fit goes that has no run folder of its own

A run that is launched has two ledgers: the trainer's of each fit, and that of the whole script. A snapshot
holds where both stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from keras_repro.errors import ResumeError

_present: ScriptResume | None = None


def begin(folder: Path, session: Callable[[], Any]) -> ScriptResume:
    """Makes the fits of this process's trainers resumable from now on.

    Args:
        folder: the run folder of the script.
        session: gives the `ResumableSession` that records the script.
    """
    global _present
    _present = ScriptResume(folder, session)
    return _present


def present() -> ScriptResume | None:
    """What `begin` has made; None where it was not called."""
    return _present


class ScriptResume:
    """What a trainer has to know of the launch.

    Attributes:
        fits: how many fits of a trainer were begun.
    """

    def __init__(self, folder: Path, session: Callable[[], Any]) -> None:
        self._folder, self._session = folder, session
        self.fits = 0

    def next_folder(self) -> Path:
        """The run folder of the next fit, by its number in the script."""
        return self._folder / f"fit-{self.fits + 1}"

    def begins(self) -> None:
        """Is told that a fit of a trainer begins."""
        self.fits += 1

    def kept(self) -> dict[str, Any]:
        """What a snapshot has to hold of the script's own record, which the disk has by then."""
        held: dict[str, Any] = self._session().kept()
        return held

    def go_on(self, kept: Mapping[str, Any] | None) -> None:
        """Goes on with the script's record, in the fit that is under way.

        Raises:
            ResumeError: the fit was begun without it.
        """
        self._session().go_on(_checked(kept))

    def skip(self, model: Any, kept: Mapping[str, Any] | None, *, ours: bool) -> None:
        """Goes on behind a fit that was finished before.

        Args:
            model: as it left it.
            kept: as for `go_on`.
            ours: whether the order of the data is ours.

        Raises:
            ResumeError: the fit was begun without it.
        """
        self._session().skip(model, _checked(kept), ours=ours)


def _checked(kept: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if kept is None:
        raise ResumeError(
            "this run was not begun by 'keras-repro run --resume': go on with it as it was begun, or choose "
            "another run folder"
        )
    return kept
