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
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

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
        options = _parse(arguments)
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
        try:
            comparison = _explain(task, comparison, folder / "diagnosis", data, console)
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

    place_known = comparison.divergence
    place = place_known if upto else None
    found = diagnose(task, place, folder=folder, child_module=_CHILD, begins=begins)
    if found.cause == "unknown":
        # What the ledgers tell is not lost where running it again tells nothing.
        left = ", ".join(data.get("leftovers") or ())
        files = (f"the first run left files that the second could read: {left}",) if left else ()
        found = replace(found, cause=place_known.cause, evidence=(*found.evidence, *files))
    print_explanation(found, console)
    data["divergence"] |= found.to_divergence()
    known = {"cause": found.cause, "explanation": found.sentence} if found.cause != "unknown" else {}
    return replace(comparison, divergence=replace(comparison.divergence, **known))


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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ReproError(f"{message} (see '{self.prog} --help')")


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="keras-repro",
        description="Run any Keras training twice and know, to the bit, whether it was the same.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    scripts = {
        "run": _add_run(commands),
        "verify": _add_verify(commands),
    }
    _add_others(commands)
    if argv and argv[0] in scripts:
        ours, script = _split(argv[1:], scripts[argv[0]])
        options = scripts[argv[0]].parse_args(ours)
        return _with_script(options, script)
    return parser.parse_args(argv)


def _add_run(commands: Any) -> argparse.ArgumentParser:
    parser = _script_parser(commands, "run", "run a script with everything pinned, recorded", _run)
    parser.set_defaults(enforce=True)
    return parser


def _add_verify(commands: Any) -> argparse.ArgumentParser:
    text = "run a script several times in fresh processes and compare the runs"
    parser = _script_parser(commands, "verify", text, _verify)
    parser.add_argument("--runs", type=_at_least(2), default=3, help="how many runs (default: 3)")
    parser.add_argument("--enforce", action="store_true", help="pin every seed and switch")
    parser.add_argument("--keep-hash-seed", action="store_true", help="no hash seed of its own for each run")
    parser.add_argument("--keep-going", action="store_true", help="let all runs end, also where they part")
    parser.add_argument("--explain", action="store_true", help="where they part, find out why")
    return parser


def _script_parser(
    commands: Any, name: str, text: str, command: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text,
        usage=f"keras-repro {name} [OPTIONS] (SCRIPT | -m MODULE) [ARGUMENTS OF THE SCRIPT]",
        epilog="Options may also stand behind SCRIPT; what stands behind -- goes to the script as it is.",
        allow_abbrev=False,
    )
    parser.add_argument("--run-dir", metavar="FOLDER", help="where the runs go (default: .keras_repro)")
    parser.add_argument("--force", action="store_true", help="replace runs that are in FOLDER")
    parser.add_argument("--json", metavar="FILE", help="write the result for machines")
    parser.add_argument("--pin-seed", type=_at_least(0), default=42, help="the seed that is pinned (42)")
    parser.add_argument("--max-epochs", type=_at_least(1), help="cap on the epochs of every fit")
    parser.add_argument("--max-steps", type=_at_least(1), help="cap on the steps of every epoch")
    parser.add_argument(
        "--every",
        type=_every,
        default="epoch",
        metavar="step|N",
        help="record the state and the batch of each step, or of every N-th (default: by epochs)",
    )
    parser.set_defaults(command=command)
    return parser


def _add_others(commands: Any) -> None:
    compare = commands.add_parser("compare", help="where did two runs part", allow_abbrev=False)
    compare.add_argument("a", metavar="RUN")
    compare.add_argument("b", metavar="RUN")
    compare.set_defaults(command=_compare)
    diagnose = commands.add_parser("diagnose", help="why did two runs part", allow_abbrev=False)
    diagnose.add_argument("a", metavar="RUN")
    diagnose.add_argument("b", metavar="RUN")
    diagnose.add_argument("--run-dir", metavar="FOLDER", help="where its runs go (default: .keras_repro)")
    diagnose.set_defaults(command=_diagnose)
    doctor = commands.add_parser("doctor", help="what is controlled on this machine", allow_abbrev=False)
    doctor.set_defaults(command=_doctor)
    report = commands.add_parser("report", help="the reproducibility page of runs", allow_abbrev=False)
    report.add_argument("run", metavar="RUN", nargs="+")
    report.add_argument("-o", "--output", metavar="FILE", help="write to FILE, not to the terminal")
    report.set_defaults(command=_report)
    for parser in (compare, diagnose, doctor, report):
        parser.add_argument("--json", metavar="FILE", help="write the result for machines")


def _split(argv: list[str], parser: argparse.ArgumentParser) -> tuple[list[str], list[str]]:
    """Parts our options from the script and its arguments; ours may stand on both sides of SCRIPT."""
    flags = {s: a.nargs == 0 for a in parser._actions for s in a.option_strings}
    ours: list[str] = []
    script: list[str] = []
    rest = list(argv)
    while rest:
        token = rest.pop(0)
        name = token.partition("=")[0]
        if token == "--":
            script += rest
            break
        if not script and token == "-m":
            script += [token, *rest[:1]]
            del rest[:1]
        elif name in flags and (len(name) > 2 or not script):
            ours.append(token)
            if not flags[name] and "=" not in token and rest:
                ours.append(rest.pop(0))
        elif not script and token.startswith("-"):
            raise ReproError(f"unknown option {token} (see 'keras-repro {parser.prog.split()[-1]} --help')")
        else:
            script.append(token)
    return ours, script


def _with_script(options: argparse.Namespace, script: list[str]) -> argparse.Namespace:
    options.script = options.module = None
    if script[:1] == ["-m"]:
        if len(script) < 2:
            raise ReproError("-m needs the name of a module")
        options.module, options.arguments = script[1], script[2:]
    elif script:
        options.script, options.arguments = script[0], script[1:]
    else:
        raise ReproError("no script: give the path of a script, or -m and a module")
    return options


def _every(text: str) -> str | int:
    if text in ("epoch", "step"):
        return text
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(
            f"needs 'epoch', 'step' or a whole number of steps from 1, received {text!r}"
        )
    return number


def _at_least(smallest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = smallest - 1
        if number < smallest:
            raise argparse.ArgumentTypeError(f"needs a whole number from {smallest}, received {text!r}")
        return number

    return parse


def _version() -> str:
    from keras_repro import __version__

    return f"keras-repro {__version__}"


if __name__ == "__main__":
    sys.exit(main())
