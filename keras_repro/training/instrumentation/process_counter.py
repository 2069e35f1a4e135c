"""Count the processes that a script starts: a training in one of them is not observed."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from keras_repro.source_code.call_site import frames_from
from keras_repro.training.backends.hooks import Call, Steps, add_hook
from keras_repro.training.backends.import_hooks import when_imported

_EVENTS = ("subprocess.Popen", "os.fork", "os.posix_spawn", "os.spawn", "os.forkpty")
# These start uname, ldconfig and git to describe the machine, as importing TensorFlow does.
_DESCRIBING_MODULES = ("platform", "ctypes.util", "keras_repro.provenance.environment")


class ProcessCounter:
    """Count started processes.

    Attributes:
        count: the number of processes so far.
    """

    def __init__(self) -> None:
        self.count = 0
        when_imported("multiprocessing.process", self._hook_start)

    def on_audit_event(self, event: str) -> None:
        """Called by an audit hook for each event of Python."""
        # Only then a frame: asking for one raises an audit event itself.
        if event in _EVENTS and not _describes_machine(sys._getframe(2)):
            self.count += 1

    def _hook_start(self, module: Any) -> None:
        def start(call: Call) -> Steps:
            before = self.count
            yield
            self.count = before + 1  # forking raises an audit event, spawning does not

        add_hook(module.BaseProcess, "start", start)


def _describes_machine(frame: FrameType) -> bool:
    names = (caller.f_globals.get("__name__") for caller in frames_from(frame))
    return any(name in _DESCRIBING_MODULES for name in names)
