"""The command line of `keras-repro`: commands, options, and where a script's own arguments begin."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from keras_repro.errors import ReproError

_RUNS = 3


def parse(argv: list[str]) -> argparse.Namespace:
    """Reads a command line.

    Args:
        argv: arguments without the program's name.

    Returns:
        The options; `command` is the name of the command.

    Raises:
        ReproError: it is none, with what was wrong in a line.
        SystemExit: the help or the version was asked for, and printed.
    """
    parser = _Parser(
        prog="keras-repro",
        description="Run any Keras training twice and know, to the bit, whether it was the same.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=_version())
    known = parser.add_subparsers(metavar="COMMAND", required=True)
    parsers = {"run": _add_run(known), "verify": _add_verify(known), **_add_others(known)}
    for name, one in parsers.items():
        one.set_defaults(command=name)
    if argv and argv[0] in ("run", "verify"):
        ours, script = _split(argv[1:], parsers[argv[0]])
        options = parsers[argv[0]].parse_args(ours)
        if getattr(options, "vary", None) in ("list", "help") and not script:
            return options
        return _of_verify(_with_script(options, script))
    if argv[:1] == ["reproduce"] and "--" in argv:
        end = argv.index("--")
        options = parser.parse_args(argv[:end])
        options.arguments = argv[end + 1 :]
        return options
    return parser.parse_args(argv)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ReproError(f"{message} (see '{self.prog} --help')")


def _add_run(commands: Any) -> argparse.ArgumentParser:
    parser = _script_parser(commands, "run", "run a script with everything pinned, recorded")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on where an interrupted run of this command was; the script trains through the trainer "
        "(default FOLDER: .keras_repro/NAME-resumable)",
    )
    parser.set_defaults(enforce=True)
    return parser


def _add_verify(commands: Any) -> argparse.ArgumentParser:
    text = "run a script several times in fresh processes and compare the runs"
    parser = _script_parser(commands, "verify", text)
    parser.add_argument("--runs", type=_at_least(2), help=f"how many runs (default: {_RUNS})")
    parser.add_argument("--enforce", action="store_true", help="pin every seed and switch")
    parser.add_argument("--keep-hash-seed", action="store_true", help="no hash seed of its own for each run")
    parser.add_argument("--keep-going", action="store_true", help="let all runs end, also where they part")
    parser.add_argument("--explain", action="store_true", help="where they part, find out why")
    vary = parser.add_argument_group(
        "other surroundings", "run it under one changed surrounding after the other, against one baseline"
    )
    vary.add_argument("--vary", metavar="LIST", help="'all', names with commas, or 'list' to see them")
    vary.add_argument("--jobs", type=_at_least(1), help="run N at a time where it cannot matter (default: 1)")
    vary.add_argument("--html", metavar="FILE", help="write a page to look at: one file, no network")
    vary.add_argument("--no-copy", action="store_true", help="run in the folder itself, not in copies of it")
    return parser


def _script_parser(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
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
    parser.add_argument(
        "--portable", action="store_true", help="the same bits on another x86-64 CPU with AVX2 (slower)"
    )
    parser.add_argument(
        "--threads", type=_at_least(1), default=1, help="threads of a portable run, part of its promise (1)"
    )
    parser.add_argument(
        "--allow-unportable", action="store_true", help="record what is not portable, and train all the same"
    )
    parser.add_argument("--max-epochs", type=_at_least(1), help="cap on the epochs of every fit")
    parser.add_argument("--max-steps", type=_at_least(1), help="cap on the steps of every epoch")
    parser.add_argument(
        "--every",
        type=_every,
        default="epoch",
        metavar="step|N",
        help="record the state and the batch of each step, or of every N-th (default: by epochs)",
    )
    return parser


def _add_others(commands: Any) -> dict[str, argparse.ArgumentParser]:
    compare = commands.add_parser("compare", help="where did two runs part", allow_abbrev=False)
    compare.add_argument("a", metavar="RUN")
    compare.add_argument("b", metavar="RUN")
    compare.add_argument(
        "--noise",
        metavar="RUN",
        nargs="+",
        default=(),
        help="runs of the same script with other seeds, at least 3: how much only the seed makes",
    )
    compare.add_argument("--html", metavar="FILE", help="write a page to look at: one file, no network")
    compare.add_argument("--png", metavar="FILE", help="write the same as a picture")
    diagnose = commands.add_parser("diagnose", help="why did two runs part", allow_abbrev=False)
    diagnose.add_argument("a", metavar="RUN")
    diagnose.add_argument("b", metavar="RUN")
    diagnose.add_argument("--run-dir", metavar="FOLDER", help="where its runs go (default: .keras_repro)")
    doctor = commands.add_parser("doctor", help="what is controlled on this machine", allow_abbrev=False)
    report = commands.add_parser("report", help="the reproducibility page of runs", allow_abbrev=False)
    report.add_argument("run", metavar="RUN", nargs="+")
    report.add_argument("-o", "--output", metavar="FILE", help="write to FILE, not to the terminal")
    others = {
        "compare": compare,
        "diagnose": diagnose,
        "reproduce": _reproduce_parser(commands),
        "doctor": doctor,
        "report": report,
    }
    for parser in others.values():
        parser.add_argument("--json", metavar="FILE", help="write the result for machines")
    return others


def _reproduce_parser(commands: Any) -> argparse.ArgumentParser:
    text = "do again what a run recorded, comparing while it trains"
    parser: argparse.ArgumentParser = commands.add_parser(
        "reproduce",
        help=text,
        description=text,
        usage="keras-repro reproduce [OPTIONS] RUN [-- ARGUMENTS OF THE SCRIPT]",
        epilog="The script's arguments are needed only where some of them were not published.",
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--yes", action="store_true", help="run the recorded command without asking")
    parser.add_argument("--anyway", action="store_true", help="go on where something is missing or changed")
    parser.add_argument("--no-pin", action="store_true", help="leave variables and threads as they are here")
    parser.add_argument("--script", metavar="FILE", help="where the script is, if not where it was")
    parser.add_argument("--run-dir", metavar="FOLDER", help="where its run goes (default: .keras_repro)")
    parser.add_argument("--force", action="store_true", help="replace the run that is in FOLDER")
    parser.set_defaults(arguments=None)
    return parser


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


def _of_verify(options: argparse.Namespace) -> argparse.Namespace:
    """The options of `verify`: those that belong together."""
    if not hasattr(options, "vary"):
        return options
    if options.vary is not None and options.runs is not None:
        raise ReproError("--vary runs the script once under each variation: leave out --runs")
    for name in ("jobs", "no_copy", "html"):
        if options.vary is None and getattr(options, name):
            raise ReproError(f"--{name.replace('_', '-')} needs --vary")
    options.runs = options.runs or _RUNS
    options.jobs = options.jobs or 1
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
    from keras_repro._version import __version__

    return f"keras-repro {__version__}"
