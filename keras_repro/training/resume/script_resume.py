"""The resume of a whole script: `keras-repro run SCRIPT --resume`.

    script_resume.begin(folder, session)            # called by the process that runs the script
    script = script_resume.current()                # called by the trainer; None without --resume
    script.next_folder()                            # the folder of a fit without a run folder of its own

There are two kinds of ledgers: one of each fit of a trainer, and one of the whole script. A snapshot holds
the position in both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from keras_repro.errors import ResumeError

_current: ScriptResume | None = None


def begin(folder: Path, session: Callable[[], Any]) -> ScriptResume:
    """Make the following fits of trainers in this process resumable.

    Args:
        folder: the run folder of the script.
        session: returns the `ResumableSession` that records the script.
    """
    global _current
    _current = ScriptResume(folder, session)
    return _current


def current() -> ScriptResume | None:
    """Return the result of `begin`; None if it was not called."""
    return _current


class ScriptResume:
    """The recording of a resumable script, as its trainers use it.

    Args:
        folder: the run folder of the script.
        session: returns the `ResumableSession` that records the script.

    Attributes:
        fits: the number of fits so far.
    """

    def __init__(self, folder: Path, session: Callable[[], Any]) -> None:
        self._folder, self._session = folder, session
        self.fits = 0

    def next_folder(self) -> Path:
        """Return the run folder of the next fit, named by its number.

        Raises:
            ResumeError: there is a link.
        """
        folder = self._folder / f"fit-{self.fits + 1}"
        if os.path.islink(folder):
            raise ResumeError(f"cannot record in {folder}: it is a link, which is not followed")
        return folder

    def begin_fit(self) -> None:
        """Called when a fit of a trainer begins."""
        self.fits += 1

    def state(self) -> Mapping[str, Any]:
        """Return the position in the script's ledger, which is then on the disk."""
        state: Mapping[str, Any] = self._session().state()
        return state

    def restore(self, state: Mapping[str, Any] | None) -> None:
        """Continue the script's ledger within the current fit.

        Args:
            state: the result of `state`, None if the fit was begun without a launch.

        Raises:
            ResumeError: the fit was begun without a launch.
        """
        self._session().restore(_checked(state))

    def skip(self, model: Any, state: Mapping[str, Any] | None, *, controls_order: bool) -> None:
        """Continue the script's ledger after a fit that is finished.

        Args:
            model: the model at the end of the fit.
            state: as for `restore`.
            controls_order: whether the order of the data is ours.

        Raises:
            ResumeError: the fit was begun without a launch.
        """
        self._session().skip(model, _checked(state), controls_order=controls_order)


def _checked(state: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if state is None:
        raise ResumeError(
            "cannot resume: this run was not begun by 'keras-repro run --resume'. Continue it as it was "
            "begun, or use another run folder"
        )
    return state
