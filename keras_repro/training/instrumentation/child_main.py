"""The child process of `run`, `verify` and `diagnose`: run a script unchanged, and record what Keras does.

`processes/start_child.py` calls `main` with the JSON form of a `Plan`. TensorFlow and Keras are never
imported before the script imports them.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import sys
import threading
import traceback

from keras_repro.errors import PortabilityError, ResumeError, RunFolderError
from keras_repro.processes.protocol import DIVERGED, NOT_RESUMABLE, Plan
from keras_repro.training.instrumentation.run_script import run_as_main
from keras_repro.training.instrumentation.script_observer import ScriptObserver
from keras_repro.utils.process_end import end_process
from keras_repro.utils.text import error_line, escape_control_chars


def main(arguments: list[str]) -> int:
    """Run a plan; return the exit code of the process."""
    plan = Plan.from_dict(json.loads(arguments[0]))
    if plan.varied:
        from keras_repro.training.instrumentation.perturbations import apply_perturbations

        apply_perturbations(**plan.varied)
    try:
        observer = ScriptObserver(plan)
    except RunFolderError as in_use:
        print(error_line(in_use), file=sys.stderr)
        return NOT_RESUMABLE
    code = 0
    error: BaseException | None = None
    try:
        with observer.watching_lines():
            run_as_main(plan)
    except SystemExit as request:
        code = _exit_code(request)
    except KeyboardInterrupt as interrupt:
        code, error = 130, interrupt
    except BaseException as raised:  # an error of the script, printed as Python prints it
        code, error = 1, raised
    if observer.stopped:
        code, error = DIVERGED, None  # whatever the script did when it was told to end
    if error is not None:
        with contextlib.suppress(Exception):  # the script may have closed standard error
            _print_error(error)
    observer.script_ended()
    _finish_as_python_does(observer)
    try:
        code = observer.end(code, error)
    finally:
        observer.unlock()
    if observer.stopped and _threads_run():
        end_process(code)  # at its exit, Python would wait for them again
    return code


def _exit_code(request: SystemExit) -> int:
    if request.code is None:
        return 0
    if isinstance(request.code, int):
        return request.code & 0xFF
    print(request.code, file=sys.stderr)
    return 1


def _print_error(error: BaseException) -> None:
    """Print the traceback from the script's frames on, without ours."""
    if isinstance(error, PortabilityError | ResumeError):
        first, *others = str(error).splitlines()
        print(error_line(first), *map(escape_control_chars, others), sep="\n", file=sys.stderr)
        return
    trace, ours = error.__traceback__, (__name__, run_as_main.__module__)
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in ours:
        trace = trace.tb_next
    if sys.excepthook is sys.__excepthook__:
        traceback.print_exception(type(error), error, trace)  # also lines of archives
    else:
        sys.excepthook(type(error), error.with_traceback(trace), trace)


def _threads_run() -> bool:
    """Return whether threads run for which Python waits at its exit."""
    return any(not t.daemon and t is not threading.main_thread() for t in threading.enumerate())


def _finish_as_python_does(observer: ScriptObserver) -> None:
    """Wait for the script's threads, then run its exit functions: both may still train.

    The threads of a script that was told to end are left if they do not end in time.
    """
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt) if observer.stopped else contextlib.nullcontext():
        threading._shutdown()  # type: ignore[attr-defined]
    observer.threads_ended()
    atexit._run_exitfuncs()
