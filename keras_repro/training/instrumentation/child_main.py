"""The child-process side of `run` and `verify`: runs a script as it is, and records what Keras does in it.

TensorFlow and Keras are never imported before the script does: hooks wait for their import. Started as
`python -m keras_repro.training.instrumentation.child_main PLAN`, where PLAN is the JSON form of a `Plan`.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import sys
import threading
import traceback
from typing import Any, cast

import wrapt

from keras_repro.determinism.tf_runtime import remember_environment
from keras_repro.errors import PortabilityError, ReproError, ResumeError, RunFolderError
from keras_repro.processes.protocol import NOT_RESUMABLE, RECORDING_FAILED, UNOBSERVED, Plan
from keras_repro.provenance import input_files
from keras_repro.source_code.call_site import frames_from
from keras_repro.storage.run_folder import LEDGER_NAME, redirect_runs
from keras_repro.storage.run_lock import RunLock
from keras_repro.training.backends.active import backend
from keras_repro.training.instrumentation.run_script import run_as_main
from keras_repro.training.probes.file_access import InputFiles


def main(arguments: list[str]) -> int:
    """Runs a plan; returns the exit code that the script would have had."""
    plan = Plan.from_dict(json.loads(arguments[0]))
    if plan.varied:
        from keras_repro.training.instrumentation.perturbations import apply_perturbations

        apply_perturbations(**plan.varied)
    try:
        observer = ScriptObserver(plan)
    except RunFolderError as in_use:
        print(f"keras-repro: {in_use}", file=sys.stderr)
        return NOT_RESUMABLE
    code, error = 0, cast("BaseException | None", None)
    try:
        with observer.lines():
            run_as_main(plan)
    except SystemExit as request:
        code = _exit_code(request)
    except KeyboardInterrupt as interrupt:
        code, error = 130, interrupt
    except BaseException as raised:  # the script's own error: shown as Python would show it
        code, error = 1, raised
    if error is not None:
        with contextlib.suppress(Exception):  # the script may have closed what we print to
            _show(error)
    observer.script_is_over()
    _finish_as_python_does()
    return observer.end(code, error)


def _finish_as_python_does() -> None:
    """Waits for the script's threads, then runs its exit functions: both may still train."""
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()


class ScriptObserver:
    """Waits for Keras, instruments it, and ends the record."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.session: Any = None
        self.born: Any = None
        self.processes = 0
        self.unsupported: list[str] = []
        self.probe: Any = None
        self.early_stop: Any = None
        self._over = False
        self._pid = os.getpid()
        self._launched: Any = None
        if plan.resume:
            from keras_repro.training.resume import script_resume

            self._lock = RunLock(plan.folder)  # until the process ends
            self._launched = script_resume.begin(plan.folder, self._session)
        self._roots = input_files.roots(plan.script)
        if plan.probe is not None:
            from keras_repro.training.probes.event_log import EventLog

            self.probe = EventLog(plan.folder, **plan.probe)
        self._files = InputFiles(plan.folder)
        self._files.install()
        sys.addaudithook(self._audit)
        if plan.redirect:
            redirect_runs(plan.folder / "runs")
        if plan.seed is not None:
            _pin_seeds(plan.seed)
        # What the script itself sets for TensorFlow is settled when it imports it.
        wrapt.register_post_import_hook(lambda _: remember_environment(), "tensorflow")
        wrapt.register_post_import_hook(self._instrument, backend.trainer.TRAINER_MODULE)
        wrapt.register_post_import_hook(self._watch_optimizers, backend.trainer.OPTIMIZER_MODULE)
        wrapt.register_post_import_hook(self._watch_processes, "multiprocessing.process")
        for module, (name, owner) in backend.trainer.OTHER_TRAINERS.items():
            hook = _unsupported_hook(self.unsupported, name, owner)
            wrapt.register_post_import_hook(hook, module)

    def script_is_over(self) -> None:
        """From here on nothing ends the process early."""
        self._over = True
        if self.early_stop is not None:
            self.early_stop.rest()

    def end(self, code: int, error: BaseException | None) -> int:
        """Writes the last record; returns the exit code, another one where only the recording failed."""
        if os.getpid() != self._pid:
            return code
        # A second Ctrl-C must not tear what the first one made us write.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self._launched is not None and code == 0 and not self._launched.fits:
            print(f"keras-repro: {_NOTHING_TO_RESUME}", file=sys.stderr)
            return NOT_RESUMABLE
        try:
            session = self._session()
            session.unsupported = self.unsupported
            details: dict[str, Any] = {"code": code, "processes": self.processes}
            if error is not None:
                details["error"] = type(error).__name__
            if code != 0 and self.probe is not None:
                self.probe.close()  # a script that failed has not parted: it is said to have failed
            marks = len(list(self.plan.folder.glob(f"{UNOBSERVED}*")))
            if marks:
                details["unobserved"] = marks
            details["inputs"] = self._inputs()
            session.exit("finished" if code == 0 else "stopped", **details)
            if self.probe is not None:
                self.probe.close()
            broken = session.run.broken
        except (ReproError, OSError) as failure:
            broken = str(failure)
        if self._launched is not None and isinstance(error, ResumeError):
            return NOT_RESUMABLE
        if broken is not None:
            with contextlib.suppress(Exception):
                print(f"keras-repro: {broken}", file=sys.stderr)
            return code or RECORDING_FAILED
        return code

    def _inputs(self) -> dict[str, Any]:
        """What the script has read, beside itself: its digest stands in the header."""
        main = os.path.realpath(getattr(sys.modules.get("__main__"), "__file__", None) or "")
        read = [p for p in self._files.paths() if os.path.realpath(p) != main]
        return input_files.describe(read, self._roots)

    def lines(self) -> contextlib.AbstractContextManager[None]:
        """Watches the script's lines, where it is to be diagnosed."""
        if self.probe is None:
            return contextlib.nullcontext()
        from keras_repro.training.probes.installer import watching_lines

        return watching_lines(self.probe)

    def _session(self) -> Any:
        """The session, made on first use: before it, nothing of it is loaded into the script's process."""
        if self.session is None:
            from keras_repro.training.instrumentation.resumable_session import ResumableSession
            from keras_repro.training.instrumentation.script_session import ScriptSession
            from keras_repro.training.recording.recording_options import Every, RecordingOptions
            from keras_repro.training.recording.run_recorder import RunRecorder, published_command
            from keras_repro.training.state import initial_values

            plan = self.plan
            if plan.resume:
                from keras_repro.ledger.reader import discard_unbegun  # loads NumPy

                discard_unbegun(plan.folder)
            command = published_command(plan.script, plan.module, plan.arguments)
            run = RunRecorder(
                plan.folder,
                RecordingOptions(every=cast("Every", plan.every), batches=True, overwrite=True),
                coverage="smr",
                resume=plan.resume and (plan.folder / LEDGER_NAME).exists(),
                launched=True,
                header={
                    "mode": "enforced" if plan.seed is not None else "observed",
                    "command": command,
                    "seed": plan.seed,
                    "policies": plan.policies,
                    "requested": plan.switches,
                    "determinism": "bitwise" if plan.portability is None else "portable",
                },
            )
            if self.probe is not None:
                run.listener = self.probe.record_written
            if plan.reference is not None and not self._over:
                from keras_repro.training.instrumentation.stop_on_divergence import StopOnDivergence

                self.early_stop = StopOnDivergence(run, plan.reference)
            born = self.born or initial_values.InitialValues()
            kind = ResumableSession if plan.resume else ScriptSession
            self.session = kind(run, born, probe=self.probe)
        return self.session

    def _watch_processes(self, module: Any) -> None:
        wrapt.wrap_function_wrapper(module.BaseProcess, "start", self._count_process)

    def _instrument(self, module: Any) -> None:
        from keras_repro.training.state import initial_values

        self.born = initial_values.start(weakly=True)
        if self.plan.portability is not None:
            from keras_repro.training.portable.mode import PortableMode

            PortableMode(**self.plan.portability).__enter__()  # until the process ends
        if self.probe is not None:
            from keras_repro.training.probes import installer

            installer.install(self.probe, module)
        trainer = module.TensorFlowTrainer
        wrap = wrapt.wrap_function_wrapper
        for method, handler in (
            ("__init__", "made"),
            ("fit", "fit"),
            ("evaluate", "evaluate"),
            ("test_on_batch", "evaluate"),
            ("predict", "predict"),
            ("predict_on_batch", "predict"),
            ("train_on_batch", "train_on_batch"),
        ):
            wrap(trainer, method, self._handler(handler))

    def _watch_optimizers(self, module: Any) -> None:
        def applied(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            result = wrapped(*args, **kwargs)
            if os.getpid() == self._pid:
                self._session().applied(instance)
            return result

        wrapt.wrap_function_wrapper(module.BaseOptimizer, "apply", applied)

    def _handler(self, name: str) -> Any:
        def handle(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            if os.getpid() != self._pid:
                # A forked process must not touch the ledger of the one that records.
                if name in ("fit", "train_on_batch"):
                    (self.plan.folder / f"{UNOBSERVED}{os.getpid()}").touch()
                return wrapped(*args, **kwargs)
            handler = getattr(self._session(), name)
            if self.probe is None:
                return handler(wrapped, instance, args, kwargs)
            self.probe.method_called(name, sys._getframe(1), instance)
            with self.probe.in_keras():
                return handler(wrapped, instance, args, kwargs)

        return handle

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        self._files.on_audit_event(event, args)
        if self.probe is not None and event == "open":
            self.probe.files.on_audit_event(event, args, sys._getframe(1))
        if event in _STARTS_A_PROCESS and not _only_asks(sys._getframe(1)):
            self.processes += 1

    def _count_process(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        before = self.processes
        result = wrapped(*args, **kwargs)
        self.processes = before + 1  # forking is an event of its own, spawning is none
        return result


_NOTHING_TO_RESUME = (
    "no fit of a kr.ReproducibleTrainer was seen in the script, so nothing of it can be resumed: train "
    "through one (docs/resume.md), or leave out --resume"
)
_STARTS_A_PROCESS = ("subprocess.Popen", "os.fork", "os.posix_spawn", "os.spawn", "os.forkpty")


# These ask uname, ldconfig and git what machine this is.
_ASKS = ("platform", "ctypes.util", "keras_repro.provenance.environment")


def _only_asks(frame: Any) -> bool:
    """Whether a process is started only to ask about the machine, as importing TensorFlow does."""
    return any(caller.f_globals.get("__name__") in _ASKS for caller in frames_from(frame))


def _pin_seeds(seed: int) -> None:
    """Seeds each generator as soon as its library is there."""
    import random

    random.seed(seed)

    def numpy(module: Any) -> None:
        module.seed(seed % 2**32)

    def tensorflow(module: Any) -> None:
        module.config.experimental.enable_op_determinism()
        module.random.set_seed(seed)

    def keras(module: Any) -> None:
        module.utils.set_random_seed(seed)

    wrapt.register_post_import_hook(numpy, "numpy.random")
    wrapt.register_post_import_hook(tensorflow, "tensorflow")
    wrapt.register_post_import_hook(keras, "keras")


def _unsupported_hook(found: list[str], name: str, owner: str) -> Any:
    def instrument(module: Any) -> None:
        def fit(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            if name not in found:
                found.append(name)
            return wrapped(*args, **kwargs)

        wrapt.wrap_function_wrapper(getattr(module, owner), "fit", fit)

    return instrument


def _exit_code(request: SystemExit) -> int:
    if request.code is None:
        return 0
    if isinstance(request.code, int):
        return request.code & 0xFF
    print(request.code, file=sys.stderr)
    return 1


def _show(error: BaseException) -> None:
    """Prints the traceback from the script on, without our frames above it."""
    if isinstance(error, PortabilityError | ResumeError):
        print(f"keras-repro: {error}", file=sys.stderr)
        return
    trace, ours = error.__traceback__, (__name__, run_as_main.__module__)
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in ours:
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)


if __name__ == "__main__":
    # Under its own name, so that the script can have `__main__`.
    from keras_repro.training.instrumentation import child_main

    sys.exit(child_main.main(sys.argv[1:]))
