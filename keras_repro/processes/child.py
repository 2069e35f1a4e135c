"""Start a script in a fresh process and wait for it; its output and ledger are kept in the run folder.

child = LAUNCHER.start(Plan(folder=folder, script="train.py"), environment=os.environ)
child.wait().code                              # 0
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from keras_repro.errors import LaunchError
from keras_repro.processes.interruption import INTERRUPTION
from keras_repro.processes.protocol import CHILD_MODULE, Plan
from keras_repro.storage.atomic_files import open_to_write
from keras_repro.storage.run_folder import OUTPUT_NAME
from keras_repro.utils.text import system_reason

POLL_SECONDS = 0.1
_GRACE_SECONDS = 10.0
_START = os.path.join(os.path.dirname(os.path.abspath(__file__)), "start_child.py")


class Process(Protocol):
    """The part of `subprocess.Popen` that a started process must have."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal), None while the process runs."""


@dataclass(frozen=True)
class Outcome:
    """How a child ended: exit code (negative: the signal that ended it) and wall time in seconds."""

    code: int
    seconds: float


def child_command(plan: Plan, module: str = CHILD_MODULE) -> list[str]:
    """Return the arguments of the interpreter that runs a plan."""
    return [_START, module, json.dumps(plan.to_dict())]


def start_interpreter(
    command: Sequence[str], environment: Mapping[str, str], output: IO[bytes] | None
) -> Process:
    """Start a fresh interpreter with the options of this one.

    With `output`, it is in its own process group and has no standard input.
    """
    options = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return subprocess.Popen(
        [sys.executable, *options, *command],
        env=dict(environment),
        stdin=subprocess.DEVNULL if output is not None else None,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        start_new_session=output is not None,
    )


@dataclass(frozen=True)
class Launcher:
    """How children are started.

    Attributes:
        start_process: starts a process from arguments of the interpreter, a whole environment and a file
            for its output (None: the terminal).
        module: the module whose `main` runs a plan in the child.
    """

    start_process: Callable[[Sequence[str], Mapping[str, str], IO[bytes] | None], Process] = start_interpreter
    module: str = CHILD_MODULE

    def start(
        self,
        plan: Plan,
        *,
        environment: Mapping[str, str],
        keep_output: bool = True,
        cwd: Path | None = None,
    ) -> Child:
        """Start a child.

        Args:
            plan: what to run.
            environment: the child's whole environment.
            keep_output: whether standard output and error go to `output.txt` in the run folder; they go to
                the terminal otherwise.
            cwd: the child's working folder; the caller's by default.

        Raises:
            LaunchError: the process cannot be started, or its output cannot be written.
        """
        command = child_command(plan, self.module)
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(_open_output(plan.folder)) if keep_output else None
            if cwd is not None:
                stack.enter_context(contextlib.chdir(cwd))
            try:
                with INTERRUPTION.held():
                    process = self.start_process(command, environment, output)
                    child = Child(process, began, has_own_group=keep_output)
                    INTERRUPTION.add(process.pid, child)
            except OSError as error:
                raise LaunchError(f"cannot start {sys.executable}: {system_reason(error)}") from None
        return child


def _open_output(folder: Path) -> IO[bytes]:
    path = folder / OUTPUT_NAME
    try:
        return open_to_write(path)
    except OSError as error:
        raise LaunchError(f"cannot write {path}: {system_reason(error)}") from None


LAUNCHER = Launcher()
"""Starts each child as a fresh interpreter."""


@dataclass(frozen=True)
class Child:
    """A started child process.

    Attributes:
        process: the process.
        began: when it was started, by `time.monotonic`.
        has_own_group: whether it leads a process group of its own, which then gets its signals.
    """

    process: Process
    began: float
    has_own_group: bool

    def poll(self) -> Outcome | None:
        """Return how the child ended, None while it runs."""
        code = self.process.poll()
        if code is None:
            return None
        INTERRUPTION.children.pop(self.process.pid, None)
        return Outcome(code, time.monotonic() - self.began)

    def wait(self, poll: Callable[[], None] = lambda: None) -> Outcome:
        """Wait for the child to end.

        Args:
            poll: called about ten times a second, and once after the end.

        Raises:
            KeyboardInterrupt: the user interrupted; the child has ended.
        """
        try:
            while (outcome := self.poll()) is None:
                poll()
                time.sleep(POLL_SECONDS)
        except BaseException:
            self.end()
            raise
        poll()
        return outcome

    def signal(self, number: int) -> None:
        """Send a signal to the child."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if self.has_own_group else os.kill)(self.process.pid, number)

    def end(self) -> None:
        """Interrupt the child; kill it if it does not end in time, or at once after a second signal."""
        for number in (signal.SIGINT, signal.SIGKILL):
            with contextlib.suppress(KeyboardInterrupt):
                self.signal(number)
                deadline = time.monotonic() + _GRACE_SECONDS
                while time.monotonic() < deadline:
                    if self.poll() is not None:
                        return
                    time.sleep(POLL_SECONDS)
