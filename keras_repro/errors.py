"""The errors that keras_repro raises: one clear line each, with the way out in it."""

from __future__ import annotations


class ReproError(Exception):
    """Base of all errors that keras_repro raises for a mistake that a user can mend."""


class LedgerError(ReproError):
    """A ledger cannot be read or written."""


class SnapshotError(ReproError):
    """A snapshot cannot be read or written."""


class ResumeError(LedgerError):
    """A run cannot be gone on with: what trains now is not what was interrupted."""


class RunFolderError(ReproError):
    """A run folder exists already, or cannot be made."""


class SwitchError(ReproError):
    """A switch cannot be set any more, or is not known."""


class LaunchError(ReproError):
    """A script cannot be started, failed, or was not observed.

    Attributes:
        output: the last lines that the script printed, with its traceback; may be empty.
    """

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


class DivergenceError(ReproError):
    """A run parted from its reference (`on_divergence="raise"`).

    Attributes:
        divergence: the `keras_repro.Divergence` that was found.
    """

    def __init__(self, message: str, divergence: object = None) -> None:
        super().__init__(message)
        self.divergence = divergence


class PortabilityError(ReproError):
    """A training would not give the same bits on another CPU (`determinism="portable"`)."""
