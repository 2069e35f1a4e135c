"""The errors that keras_repro raises; each message is one line and names the fix."""

from __future__ import annotations


class ReproError(Exception):
    """Base of all errors that keras_repro raises for something that a user can fix."""


class LedgerError(ReproError):
    """A ledger cannot be read or written."""


class SnapshotError(ReproError):
    """A snapshot cannot be read or written."""


class ResumeError(LedgerError):
    """A run cannot be resumed: the present training is not the one that was interrupted."""


class RunFolderError(ReproError):
    """A run folder exists already, or cannot be created."""


class SwitchError(ReproError):
    """A switch is unknown, or can no longer be set."""


class LaunchError(ReproError):
    """A script cannot be started, failed, or was not observed.

    Attributes:
        output: the last lines that the script printed, including its traceback; may be empty.
    """

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


class DivergenceError(ReproError):
    """A run diverged from its reference (`on_divergence="raise"`).

    Attributes:
        divergence: the `keras_repro.Divergence`.
    """

    def __init__(self, message: str, divergence: object = None) -> None:
        super().__init__(message)
        self.divergence = divergence


class PortabilityError(ReproError):
    """A training would not produce the same bits on another CPU (`determinism="portable"`)."""
