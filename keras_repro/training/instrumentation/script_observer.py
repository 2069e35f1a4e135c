"""`ScriptObserver`: everything that records a launched script, from before its start to its end.

Importing this module loads no framework. What loads one is imported once the script has done so.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import sys
import threading
from typing import Any, cast

from keras_repro.determinism.seeds import derive
from keras_repro.determinism.tf_runtime import remember_environment, seed_reaches_order
from keras_repro.errors import ReproError, ResumeError
from keras_repro.processes.protocol import NOT_RESUMABLE, RECORDING_FAILED, Plan
from keras_repro.provenance import input_files
from keras_repro.provenance.module_lookup import running_script
from keras_repro.storage.atomic_files import files_in
from keras_repro.storage.run_folder import LEDGER_NAME, RUNS_NAME, UNOBSERVED, redirect_runs
from keras_repro.storage.run_lock import RunLock
from keras_repro.training.backends.hooks import hide_from_debuggers
from keras_repro.training.backends.import_hooks import when_imported
from keras_repro.training.instrumentation.keras_hooks import KerasHooks
from keras_repro.training.instrumentation.process_counter import ProcessCounter
from keras_repro.training.probes.file_access import InputFiles
from keras_repro.utils.text import error_line

_NOTHING_TO_RESUME = (
    "the script never called kr.ReproducibleTrainer.fit, so there is nothing to resume: use the trainer "
    "(docs/resume.md) or omit --resume"
)


class ScriptObserver:
    """Install the hooks of a launched script, open its record when Keras is used, and end it.

    Args:
        plan: what the process does.

    Raises:
        RunFolderError: another process uses the run folder.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._pid = os.getpid()
        self._session: Any = None
        self._session_lock = threading.RLock()  # two threads may use Keras for the first time
        self._early_stop: Any = None
        self._script_ended = False
        self._details: dict[str, Any] = {}  # of the last record
        self._script_resume: Any = None
        self._lock = RunLock(plan.folder, "launched")
        if plan.resume:
            from keras_repro.training.resume import script_resume

            self._script_resume = script_resume.begin(plan.folder, self._open_session)
        self._roots = input_files.roots(plan.script)
        self._event_log: Any = None
        if plan.probe is not None:
            from keras_repro.training.probes.event_log import EventLog

            self._event_log = EventLog(plan.folder, **plan.probe)
        self._files = InputFiles(plan.folder)
        self._files.install()
        self._processes = ProcessCounter()
        sys.addaudithook(self._on_audit_event)
        if plan.redirect:
            redirect_runs(plan.folder / RUNS_NAME)
        if plan.seed is not None:
            _pin_seeds(plan.seed)
        # The script may set variables for TensorFlow until it imports it.
        when_imported("tensorflow", lambda _: remember_environment())
        hide_from_debuggers()
        self._hooks = KerasHooks(plan, self._open_session, self._event_log)
        self._hooks.install()

    def watching_lines(self) -> contextlib.AbstractContextManager[None]:
        """Return a context that traces the script's lines for a diagnosis, if this is one."""
        if self._event_log is None:
            return contextlib.nullcontext()
        from keras_repro.training.probes.installer import watching_lines

        return watching_lines(self._event_log)

    def script_ended(self) -> None:
        """Called when the script has ended: a divergence no longer ends the process."""
        self._script_ended = True
        if self._early_stop is not None:
            self._early_stop.disable()
        # For `verify` and `diagnose`, in the run with which others are compared.
        is_first = self._plan.redirect and self._plan.reference is None and os.getpid() == self._pid
        if is_first and getattr(self._session, "shuffled", False):
            with contextlib.suppress(Exception):  # the answer is only a note
                self._details["seed_reaches_order"] = seed_reaches_order()

    def threads_ended(self) -> None:
        """Called when the threads of the script have ended, before its exit functions run."""
        if self._session is not None and os.getpid() == self._pid:
            with contextlib.suppress(ReproError, OSError):  # it fails again at the end, and is reported then
                self._session.threads_ended()

    @property
    def stopped(self) -> bool:
        """Whether the script was told to end, since its run diverged from the reference."""
        return self._early_stop is not None and bool(self._early_stop.stopped)

    def end(self, code: int, error: BaseException | None) -> int:
        """Write the last record.

        Args:
            code: the script's exit code.
            error: the exception that ended the script, or None.

        Returns:
            The exit code of the process: the script's, unless only the recording failed.
        """
        if os.getpid() != self._pid:
            return code
        # A second Ctrl-C must not damage the record of the first one.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self._script_resume is not None and code == 0 and not self._script_resume.fits:
            print(error_line(_NOTHING_TO_RESUME), file=sys.stderr)
            return NOT_RESUMABLE
        try:
            problem = self._record_end(code, error)
        except (ReproError, OSError) as failure:
            problem = str(failure)
        if self._script_resume is not None and isinstance(error, ResumeError):
            return NOT_RESUMABLE
        if problem is not None:
            with contextlib.suppress(Exception):  # the script may have closed standard error
                print(error_line(problem), file=sys.stderr)
            return code or RECORDING_FAILED
        return code

    def unlock(self) -> None:
        """Unlock the run folder: nothing more is written."""
        self._lock.close()

    def _record_end(self, code: int, error: BaseException | None) -> str | None:
        session = self._open_session()
        session.unsupported = self._hooks.unsupported
        details = self._details | {"code": code, "processes": self._processes.count}
        if error is not None:
            details["error"] = type(error).__name__
        if code != 0 and self._event_log is not None:
            self._event_log.close()  # a script that failed is reported as failed, not as diverged
        unobserved = len(files_in(self._plan.folder, rf"{UNOBSERVED}\d+"))
        if unobserved:
            details["unobserved"] = unobserved
        details["inputs"] = self._inputs()
        session.exit("finished" if code == 0 else "stopped", **details)
        if self._event_log is not None:
            self._event_log.close()
        broken: str | None = session.run.broken
        return broken

    def _inputs(self) -> dict[str, Any]:
        """Return the files that the script has read; the header has the digest of the script itself."""
        script = os.path.realpath(running_script() or "")
        paths = [p for p in self._files.paths() if os.path.realpath(p) != script]
        return input_files.describe(paths, self._roots)

    def _open_session(self) -> Any:
        """Return the `ScriptSession`; it is created at the first call, since it loads NumPy and Keras."""
        if self._session is None:
            with self._session_lock:
                self._make_session()
        return self._session

    def _make_session(self) -> None:
        if self._session is None:
            from keras_repro.training.instrumentation.resumable_session import ResumableSession
            from keras_repro.training.instrumentation.script_session import ScriptSession
            from keras_repro.training.state.initial_values import InitialValues

            run = self._open_run()
            if self._plan.reference is not None and not self._script_ended:
                from keras_repro.training.instrumentation.stop_on_divergence import StopOnDivergence

                self._early_stop = StopOnDivergence(run, self._plan.reference)
            initial = self._hooks.initial_values or InitialValues()
            session = ResumableSession if self._plan.resume else ScriptSession
            self._session = session(run, initial, self._event_log)

    def _open_run(self) -> Any:
        from keras_repro.training.recording.recording_options import Every, RecordingOptions
        from keras_repro.training.recording.run_recorder import RunRecorder, published_command

        plan = self._plan
        if plan.resume:
            from keras_repro.ledger.reader import discard_unbegun

            discard_unbegun(plan.folder)
        run = RunRecorder(
            plan.folder,
            RecordingOptions(every=cast("Every", plan.every), batches=True),
            coverage="smr",
            resume=plan.resume and (plan.folder / LEDGER_NAME).exists(),
            launched=True,
            header={
                "mode": "enforced" if plan.seed is not None else "observed",
                "command": published_command(
                    plan.script, plan.module, plan.arguments, publish=plan.publish_arguments
                ),
                "seed": plan.seed,
                "policies": plan.policies,
                "requested": plan.switches,
                "determinism": "bitwise" if plan.portability is None else "portable",
            },
        )
        if self._event_log is not None:
            run.listener = self._event_log.record_written
        return run

    def _on_audit_event(self, event: str, args: tuple[Any, ...]) -> None:
        self._files.on_audit_event(event, args)
        if self._event_log is not None and event == "open":
            self._event_log.files.on_audit_event(event, args, sys._getframe(1))
        self._processes.on_audit_event(event)


def _pin_seeds(seed: int) -> None:
    """Seed Python's generator now, and NumPy's, TensorFlow's and Keras's when they are imported."""
    random.seed(seed)

    def seed_tensorflow(module: Any) -> None:
        module.config.experimental.enable_op_determinism()
        module.random.set_seed(seed)
        from keras_repro.training.backends.active import backend

        numbers = itertools.count()
        backend.random_state.seed_generators(lambda: derive(seed, "tf.random.Generator", next(numbers)))

    when_imported("numpy.random", lambda module: module.seed(seed % 2**32))
    when_imported("tensorflow", seed_tensorflow)
    when_imported("keras", lambda module: module.utils.set_random_seed(seed))
