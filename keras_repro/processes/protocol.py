"""The protocol between a parent process and its child: plan and exit codes.

Both sides import this module: the child before the script, so nothing here loads a framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

CHILD_MODULE = "keras_repro.training.instrumentation.child_main"

# Exit codes of a child, above those of scripts.
RECORDING_FAILED = 74  # the script ended well, its recording did not (EX_IOERR of sysexits.h)
DIVERGED = 75  # stopped where the run diverged from the reference
TARGET_REACHED = 76  # a diagnosing child reached its target
NOT_RESUMABLE = 77  # the script cannot be resumed; the child has printed why


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a child runs, passed to it as one argument.

    Attributes:
        folder: the run folder.
        script: path of the script, or None.
        module: name of the module (`-m`), or None.
        arguments: the script's own arguments.
        publish_arguments: whether the ledger gets the arguments as they are, not redacted.
        seed: pins all seeds; None to pin none.
        switches: the requested switches.
        portability: arguments of `determinism.portable_pins.Portability`; None for a run that is not
            portable.
        policies: caps on epochs and steps, for the header.
        redirect: whether run folders that the script asks for are made below `folder`, so that a second
            process does not find those of the first.
        reference: ledger of an earlier run; the child exits with `DIVERGED` at the first difference. None
            to compare with nothing.
        every: how often steps are recorded: `"epoch"` (never), `"step"`, or every so many steps.
        probe: the arguments of a diagnosing child (`training.probes`); None for all others.
        varied: what the child changes of its own conditions before the script starts, as arguments of
            `training.instrumentation.perturbations.apply_perturbations`.
        resume: whether to continue what an earlier child of the same plan left in `folder`.
    """

    folder: Path
    script: str | None = None
    module: str | None = None
    arguments: tuple[str, ...] = ()
    publish_arguments: bool = False
    seed: int | None = None
    switches: Mapping[str, Any] = field(default_factory=dict)
    portability: Mapping[str, Any] | None = None
    policies: Mapping[str, Any] = field(default_factory=dict)
    redirect: bool = False
    reference: str | None = None
    every: str | int = "epoch"
    probe: Mapping[str, Any] | None = None
    varied: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self) | {"folder": str(self.folder)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Return the plan of a JSON form."""
        return cls(**{**data, "folder": Path(data["folder"]), "arguments": tuple(data["arguments"])})
