"""The command `keras-repro`: one short function a command.

Exit codes: 0 the same or nothing found, 1 a difference or a finding, 2 misuse or unreadable input, with one
clear line on standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from keras_repro.cli_arguments import parse
from keras_repro.errors import LaunchError, ReproError

_CHILD = "keras_repro.training.instrument"

SAME, DIFFERENT, MISUSE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code.

    Args:
        argv: arguments without the program's name; those of the process by default.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # A scheduler's notice ends children and keeps ledgers as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        options = parse(arguments, _COMMANDS)
        return int(options.command(options))
    except ReproError as error:
        return _fail(error, getattr(error, "output", ""))
    except KeyboardInterrupt:
        return _fail("interrupted: the child has ended, what was recorded is kept")
    except BrokenPipeError:
        # Whoever reads has seen enough; Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return MISUSE
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _fail(f"cannot go on:{where}: {error.strerror}")


def _run(options: argparse.Namespace) -> int:
    from keras_repro.examine import launch, verify
    from keras_repro.examine.outcome import check_outcome
    from keras_repro.record.folders import LEDGER_NAME, make_run_folder, new_folder
    from keras_repro.record.ledger import read_ledger

    task = _task(options, enforced=True)
    verify.check_task(task)
    _check_json(options)
    if options.run_dir is None:
        folder = new_folder(_name(options))
    else:
        folder = make_run_folder(options.run_dir, overwrite=options.force)
        for stale in (folder / LEDGER_NAME, *folder.glob(f"{launch.UNOBSERVED}*")):
            stale.unlink(missing_ok=True)
    outcome = launch.run_child(
        task.plan(folder, redirect=False),
        child_module=_CHILD,
        environment=task.environment(),
        keep_output=False,
    )
    check_outcome(outcome, folder, name=_words(options))
    ledger = read_ledger(folder)
    print(f"recorded in {folder}, fingerprint {ledger.fingerprint}")
    _write_json(options, {"format": 1, "ledger": str(ledger.path), "fingerprint": ledger.fingerprint})
    return SAME


def _verify(options: argparse.Namespace) -> int:
    from keras_repro.examine import verify
    from keras_repro.present.console import make_console, print_comparison
    from keras_repro.present.progress import ProgressWatcher
    from keras_repro.record.folders import new_folder

    console = make_console()
    task = _task(options, enforced=options.enforce)
    verify.check_task(task)
    _check_json(options)
    folder = Path(options.run_dir) if options.run_dir else new_folder(_name(options))
    _announce(options, console)
    try:
        with ProgressWatcher(console, options.runs) as watcher:
            result = verify.verify(
                task,
                folder=folder,
                child_module=_CHILD,
                runs=options.runs,
                overwrite=options.force,
                keep_going=options.keep_going,
                watcher=watcher,
            )
    except KeyboardInterrupt:
        return _fail(f"interrupted: the child has ended, what was recorded is kept in {folder}")
    data = result.to_dict()
    comparison = result.comparison
    if options.explain and comparison.divergence is not None:
        # A file that a run leaves at its end may be what the next one differs by: let it come to its end.
        upto = not result.leftovers
        try:
            comparison = _explain(task, comparison, folder / "diagnosis", data, console, upto=upto)
        except LaunchError as error:  # that they part is known all the same
            _fail(f"the cause was not found: {error}", error.output)
    print_comparison(comparison, console)
    _write_json(options, data)
    return _code(comparison)


def _diagnose(options: argparse.Namespace) -> int:
    from keras_repro.examine.again import are_of_whole_scripts, task_of
    from keras_repro.examine.compare import compare_all
    from keras_repro.present.console import make_console, print_comparison
    from keras_repro.record.folders import new_folder

    console = make_console()
    _check_json(options)
    comparison = compare_all([options.a, options.b], same_script=True)
    data = comparison.to_dict()
    if comparison.divergence is not None:
        task = task_of([options.a, options.b])
        folder = Path(options.run_dir) if options.run_dir else new_folder("diagnosis")
        # A callback or a trainer numbers only the fits that it saw itself.
        whole = are_of_whole_scripts([options.a, options.b])
        comparison = _explain(task, comparison, folder, data, console, upto=whole)
    print_comparison(comparison, console)
    _write_json(options, data)
    return _code(comparison)


def _explain(
    task: Any, comparison: Any, folder: Path, data: dict[str, Any], console: Any, *, upto: bool = True
) -> Any:
    """Finds out why runs parted, prints it, adds it to the data for machines and to the comparison.

    `upto` says whether the trainings may end behind the epoch in which the runs parted.
    """
    from keras_repro.examine.diagnose import MOST_TRAININGS, diagnose
    from keras_repro.present.explanation import print_explanation

    def begins(number: int) -> None:
        console.print(f"diagnosing: training {number} of at most {MOST_TRAININGS}", markup=False)

    parted = comparison.divergence
    found = diagnose(task, parted if upto else None, folder=folder, child_module=_CHILD, begins=begins)
    if found.cause == "unknown":
        # What the ledgers tell is not lost where running it again tells nothing.
        left = ", ".join(data.get("leftovers") or ())
        files = (f"the first run left files that the second could read: {left}",) if left else ()
        found = replace(found, cause=parted.cause, evidence=(*found.evidence, *files))
    print_explanation(found, console)
    data["divergence"] |= found.to_divergence()
    known = {"cause": found.cause, "explanation": found.sentence} if found.cause != "unknown" else {}
    return replace(comparison, divergence=replace(parted, **known))


def _compare(options: argparse.Namespace) -> int:
    from keras_repro.examine.compare import compare
    from keras_repro.present.console import make_console, print_comparison

    comparison = compare(options.a, options.b)
    _write_json(options, comparison.to_dict())
    print_comparison(comparison, make_console())
    return _code(comparison)


def _doctor(options: argparse.Namespace) -> int:
    from keras_repro.control.switches import probe_switches
    from keras_repro.present.console import make_console
    from keras_repro.present.doctor import render_doctor
    from keras_repro.record.environment import gather

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # the table is what was asked for
    readings, environment = probe_switches(), gather()
    render_doctor(readings, environment, make_console())
    found = [r.to_dict() for r in readings]
    _write_json(options, {"format": 1, "switches": found, "environment": environment})
    return DIFFERENT if any(r.ok is False for r in readings) else SAME


def _report(options: argparse.Namespace) -> int:
    from keras_repro.present.report import render_report, report_data

    runs = [Path(r) for r in options.run]
    text = render_report(runs)
    _write_json(options, report_data(runs))
    if options.output is None:
        sys.stdout.write(text)
    else:
        _write(options.output, text)
    return SAME


def _code(comparison: Any) -> int:
    codes = {"identical": SAME, "diverged": DIFFERENT, "incomparable": MISUSE}
    code = codes[comparison.verdict]
    return _fail(f"incomparable: {comparison.reason}") if code == MISUSE else code


def _announce(options: argparse.Namespace, console: Any) -> None:
    words = " ".join([_words(options), *options.arguments])
    how = "every switch pinned" if options.enforce else "observed as it is"
    if not options.enforce and not options.keep_hash_seed:
        how += ", but with a hash seed of its own for each run"
    console.print(f"{options.runs} runs of: {words}\n({how})", markup=False, soft_wrap=True)


def _task(options: argparse.Namespace, *, enforced: bool) -> Any:
    from keras_repro.control.switches import pinned_environment
    from keras_repro.examine.verify import Task

    return Task(
        script=options.script,
        module=options.module,
        arguments=tuple(options.arguments),
        seed=options.pin_seed if enforced else None,
        pinned=pinned_environment(options.pin_seed) if enforced else {},
        keep_hash_seed=getattr(options, "keep_hash_seed", True),
        max_epochs=options.max_epochs,
        max_steps=options.max_steps,
        every=options.every,
    )


def _name(options: argparse.Namespace) -> str:
    name = options.module or Path(options.script).stem
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:60] or "script"


def _words(options: argparse.Namespace) -> str:
    return f"-m {options.module}" if options.module else str(options.script)


def _check_json(options: argparse.Namespace) -> None:
    """Says that the result cannot be written before hours of training, not after; takes away an old one."""
    if options.json is None:
        return
    path = Path(options.json)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ReproError(f"cannot write {path}: give the name of a file in a folder that takes it")
    if path.is_file():
        path.unlink()


def _write_json(options: argparse.Namespace, data: dict[str, Any]) -> None:
    if options.json is not None:
        _write(options.json, json.dumps(data, indent=2, allow_nan=False) + "\n")


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text)
    except OSError as error:
        raise ReproError(f"cannot write {path}: {error.strerror}") from None


def _fail(message: object, output: str = "") -> int:
    from keras_repro.present.console import print_error

    sys.stdout.flush()
    print_error(message, output)
    return MISUSE


def _interrupted(number: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt


_COMMANDS = {
    "run": _run,
    "verify": _verify,
    "compare": _compare,
    "diagnose": _diagnose,
    "doctor": _doctor,
    "report": _report,
}


if __name__ == "__main__":
    sys.exit(main())
