"""Starts a script in a fresh process and waits for it: output and ledger are kept in its run folder."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from keras_repro.errors import LaunchError

OUTPUT_NAME = "output.txt"
# What a diagnosing child leaves: what it found where it parted, and what flowed through that step.
DIVERGENCE_NAME = "parting.json"
TAPS_NAME = "taps.npz"

# How a child ends whose script ended well, but whose recording did not: sysexits.h calls it EX_IOERR.
RECORDING_FAILED = 74
# How a child ends where it parted from an earlier one; and a diagnosing one, where it has seen enough.
DIVERGED = 75
TARGET_REACHED = 76
# How a child ends whose script cannot be gone on with; it has said why.
NOT_RESUMABLE = 77
# A forked process that trains leaves an empty file of this name and its number in the run folder.
UNOBSERVED = "unobserved-"

POLL_SECONDS = 0.1
_GRACE_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a child is to run, as it is handed over in one argument.

    Attributes:
        folder: the run folder.
        script: path of the script, or None.
        module: name of the module (`-m`), or None.
        arguments: the script's own arguments.
        seed: pins all seeds where it is not None.
        switches: the switches that were requested for it.
        portability: how it is to be portable, as arguments of `control.portable.Portability`; or None.
        policies: caps on epochs and steps, for the header.
        redirect: whether run folders that the script itself asks for are made below `folder`, so that a
            second process does not find the first one's.
        reference: the ledger of an earlier run of it, at whose first difference it ends with `DIVERGED`; or
            None.
        every: how often steps are recorded: `"epoch"` (not at all), `"step"`, or every so many steps.
        probe: what a diagnosing child is to look for, as arguments of `training.probe.Probe`; None for
            all others.
        varied: what the child changes of its own surroundings before the script begins, as arguments of
            `training.varied.vary`.
        resume: whether it goes on with what an earlier child of the same plan has left in `folder`.
    """

    folder: Path
    script: str | None = None
    module: str | None = None
    arguments: tuple[str, ...] = ()
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
        """The JSON form."""
        return asdict(self) | {"folder": str(self.folder)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Reads the JSON form back."""
        return cls(**{**data, "folder": Path(data["folder"]), "arguments": tuple(data["arguments"])})


class Process(Protocol):
    """What a started child has to offer; `subprocess.Popen` has it."""

    pid: int

    def poll(self) -> int | None:
        """The exit code, negative for a signal, None while it runs."""


Start = Callable[[Sequence[str], Mapping[str, str], IO[bytes] | None], Process]


@dataclass(frozen=True)
class Outcome:
    """How a child ended: exit code (negative: the signal that ended it) and wall time in seconds."""

    code: int
    seconds: float


def start_process(
    command: Sequence[str], environment: Mapping[str, str], output: IO[bytes] | None
) -> Process:
    """Starts a fresh interpreter in a process group of its own, with no standard input."""
    return subprocess.Popen(
        [sys.executable, *command],
        env=dict(environment),
        stdin=subprocess.DEVNULL if output is not None else None,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        start_new_session=output is not None,
    )


def run_child(
    plan: Plan,
    *,
    child_module: str,
    environment: Mapping[str, str],
    keep_output: bool = True,
    start: Start = start_process,
    poll: Callable[[], None] | None = None,
    cwd: Path | None = None,
) -> Outcome:
    """Runs a plan in a child process to its end.

    Args:
        plan: what to run.
        child_module: the module that carries plans out.
        environment: the child's whole environment.
        keep_output: whether standard output and error go to `output.txt` in the run folder; they go to
            the terminal otherwise.
        start: starts a process; the default starts a fresh interpreter.
        poll: called about ten times a second while it runs.
        cwd: the folder that it works in; the caller's by default.

    Raises:
        LaunchError: it cannot be started.
        KeyboardInterrupt: the user interrupted; the child has ended.
    """
    child = Child(
        plan,
        child_module=child_module,
        environment=environment,
        keep_output=keep_output,
        start=start,
        cwd=cwd,
    )
    try:
        while (outcome := child.poll()) is None:
            if poll is not None:
                poll()
            time.sleep(POLL_SECONDS)
    except BaseException:
        child.end()
        raise
    if poll is not None:
        poll()
    return outcome


class Child:
    """A child process that carries a plan out; the arguments are those of `run_child`."""

    def __init__(
        self,
        plan: Plan,
        *,
        child_module: str,
        environment: Mapping[str, str],
        keep_output: bool = True,
        start: Start = start_process,
        cwd: Path | None = None,
    ) -> None:
        command = ["-m", child_module, json.dumps(plan.to_dict())]
        self._group = keep_output
        self._began = time.monotonic()
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(open(plan.folder / OUTPUT_NAME, "wb")) if keep_output else None
            if cwd is not None:
                stack.enter_context(contextlib.chdir(cwd))
            try:
                self._process = start(command, environment, output)
            except OSError as error:
                raise LaunchError(f"cannot start {sys.executable}: {error.strerror}") from None

    def poll(self) -> Outcome | None:
        """How it ended; None while it runs."""
        code = self._process.poll()
        return None if code is None else Outcome(code, time.monotonic() - self._began)

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if self._group else os.kill)(self._process.pid, number)

    def end(self) -> None:
        """Interrupts it, and kills it where it does not end in time."""
        _end(self._process, group=self._group)


def _end(child: Process, *, group: bool) -> None:
    """Interrupts the child, and kills it where it does not end in time."""
    for number, seconds in ((signal.SIGINT, _GRACE_SECONDS), (signal.SIGKILL, _GRACE_SECONDS)):
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(child.pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if child.poll() is not None:
                return
            time.sleep(POLL_SECONDS)
