"""Parse the command line of `keras-repro`: commands, their options, and the script's own arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from keras_repro._version import __version__
from keras_repro.errors import ReproError

_DEFAULT_RUNS = 3


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse a command line.

    Args:
        argv: arguments without the program's name.

    Returns:
        The options; `command` is the name of the command.

    Raises:
        ReproError: the command line is wrong; the message is one line.
        SystemExit: the help or the version was asked for, and printed.
    """
    parser, commands = build_parsers()
    if argv and argv[0] in ("run", "verify"):
        return _parse_script_command(commands[argv[0]], argv[1:])
    if argv[:1] == ["reproduce"] and "--" in argv:
        end = argv.index("--")
        options = parser.parse_args(argv[:end])
        options.arguments = argv[end + 1 :]
        return options
    return parser.parse_args(argv)


def build_parsers() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """Build the parser of the program and, by name, those of its commands."""
    parser = _Parser(
        prog="keras-repro",
        description="Run any Keras training twice and check whether the two runs are bit-identical.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"keras-repro {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_add_run, _add_verify, _add_compare, _add_diagnose, _add_reproduce, _add_doctor, _add_report):
        add(commands).add_argument("--json", metavar="FILE", help="write the result to FILE as JSON")
    return parser, commands.choices


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ReproError(f"{message} (see '{self.prog} --help')")


def _add_command(commands: Any, name: str, text: str, **details: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text, allow_abbrev=False, **details
    )
    parser.set_defaults(command=name)
    return parser


def _add_run(commands: Any) -> argparse.ArgumentParser:
    parser = _add_script_command(
        commands, "run", "run a script once with all seeds and switches pinned, and record it"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue an interrupted run (in .keras_repro/NAME-resumable)",
    )
    parser.set_defaults(enforce=True, keep_hash_seed=True)
    return parser


def _add_verify(commands: Any) -> argparse.ArgumentParser:
    parser = _add_script_command(
        commands, "verify", "run a script several times in fresh processes and compare the runs"
    )
    parser.add_argument(
        "--runs", type=_at_least(2), help=f"run the script this many times (default: {_DEFAULT_RUNS})"
    )
    parser.add_argument("--enforce", action="store_true", help="pin every seed and switch")
    parser.add_argument("--keep-hash-seed", action="store_true", help="use the same hash seed for all runs")
    parser.add_argument(
        "--keep-going", action="store_true", help="let all runs finish, even after they diverge"
    )
    parser.add_argument("--explain", action="store_true", help="diagnose the cause if the runs diverge")
    vary = parser.add_argument_group(
        "changed conditions", "run the script once under each changed condition and compare with a baseline"
    )
    vary.add_argument(
        "--vary", metavar="LIST", help="test these conditions: 'all', names with commas, or 'list'"
    )
    vary.add_argument(
        "--jobs", type=_at_least(1), help="run up to this many independent variations at once (default: 1)"
    )
    vary.add_argument("--html", metavar="FILE", help="write a self-contained HTML report to FILE")
    vary.add_argument("--no-copy", action="store_true", help="run in the folder itself, not in copies of it")
    return parser


def _add_script_command(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser = _add_command(
        commands,
        name,
        text,
        usage=f"keras-repro {name} [OPTIONS] (SCRIPT | -m MODULE) [ARGUMENTS OF THE SCRIPT]",
        epilog="Options may follow SCRIPT. Everything after -- is passed to the script unchanged.",
    )
    _add_run_dir(parser)
    parser.add_argument("--force", action="store_true", help="replace existing runs in FOLDER")
    parser.add_argument("--pin-seed", type=_at_least(0), default=42, help="pin this seed (default: 42)")
    parser.add_argument(
        "--portable", action="store_true", help="produce the same bits on any x86-64 CPU with AVX2 (slower)"
    )
    parser.add_argument(
        "--threads",
        type=_at_least(1),
        default=1,
        help="set the threads that a portable run is guaranteed for (default: 1)",
    )
    parser.add_argument(
        "--allow-unportable",
        action="store_true",
        help="train even if the model is not portable, and record why",
    )
    parser.add_argument("--max-epochs", type=_at_least(1), help="limit the epochs of every fit")
    parser.add_argument("--max-steps", type=_at_least(1), help="limit the steps of every epoch")
    parser.add_argument(
        "--every",
        type=_every,
        default="epoch",
        metavar="step|N",
        help="record state and batch of every step, or of every N-th one",
    )
    return parser


def _add_compare(commands: Any) -> argparse.ArgumentParser:
    parser = _add_command(commands, "compare", "show where two recorded runs diverge")
    _add_two_runs(parser)
    parser.add_argument(
        "--noise",
        metavar="RUN",
        nargs="+",
        default=(),
        help="estimate seed noise from 3 or more runs with other seeds",
    )
    parser.add_argument("--html", metavar="FILE", help="write a self-contained HTML report to FILE")
    parser.add_argument("--png", metavar="FILE", help="write heat map and loss curves to FILE as PNG")
    return parser


def _add_diagnose(commands: Any) -> argparse.ArgumentParser:
    parser = _add_command(commands, "diagnose", "find out why two recorded runs diverge")
    _add_two_runs(parser)
    _add_run_dir(parser)
    return parser


def _add_reproduce(commands: Any) -> argparse.ArgumentParser:
    parser = _add_command(
        commands,
        "reproduce",
        "re-run a recorded run and compare while it trains",
        usage="keras-repro reproduce [OPTIONS] RUN [-- ARGUMENTS OF THE SCRIPT]",
        epilog="Give the script's arguments only if some of them are not in the ledger.",
    )
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--yes", action="store_true", help="run the recorded command without asking")
    parser.add_argument(
        "--anyway", action="store_true", help="run even if recorded code or files are missing or changed"
    )
    parser.add_argument(
        "--no-pin", action="store_true", help="keep the variables and threads of this machine"
    )
    parser.add_argument("--script", metavar="FILE", help="run FILE if the script has been moved")
    _add_run_dir(parser)
    parser.add_argument("--force", action="store_true", help="replace an existing run in FOLDER")
    parser.set_defaults(arguments=None)
    return parser


def _add_doctor(commands: Any) -> argparse.ArgumentParser:
    return _add_command(commands, "doctor", "list the determinism switches on this machine")


def _add_report(commands: Any) -> argparse.ArgumentParser:
    parser = _add_command(commands, "report", 'write the "Reproducibility Information" section of a paper')
    parser.add_argument("run", metavar="RUN", nargs="+")
    parser.add_argument("-o", "--output", metavar="FILE", help="write to FILE instead of the terminal")
    return parser


def _add_two_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="RUN")
    parser.add_argument("b", metavar="RUN")


def _add_run_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run-dir", metavar="FOLDER", help="record into FOLDER (default: .keras_repro)")


def _parse_script_command(parser: argparse.ArgumentParser, argv: list[str]) -> argparse.Namespace:
    own_words, script_words = _split(argv, parser)
    options = parser.parse_args(own_words)
    if options.command == "verify":
        if options.vary in ("list", "help") and not script_words:
            return options
        _check_verify(options)
    options.script = options.module = None
    if not script_words:
        raise ReproError("no script: give the path of a script, or -m and a module")
    if script_words[0] != "-m":
        options.script, *options.arguments = script_words
    elif len(script_words) > 1:
        _, options.module, *options.arguments = script_words
    else:
        raise ReproError("-m needs the name of a module")
    return options


def _split(argv: list[str], parser: argparse.ArgumentParser) -> tuple[list[str], list[str]]:
    """Split our options from the script and its arguments; ours may be on both sides of SCRIPT."""
    takes_no_value = {s: a.nargs == 0 for a in parser._actions for s in a.option_strings}
    own_words: list[str] = []
    script_words: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        name = word.partition("=")[0]
        if word == "--":
            script_words += rest
            break
        if not script_words and word == "-m":
            script_words += [word, *rest[:1]]
            del rest[:1]
        elif name in takes_no_value and (len(name) > 2 or not script_words):
            own_words.append(word)
            if not takes_no_value[name] and "=" not in word and rest:
                own_words.append(rest.pop(0))
        elif not script_words and word.startswith("-"):
            parser.error(f"unknown option {word}")
        else:
            script_words.append(word)
    return own_words, script_words


def _check_verify(options: argparse.Namespace) -> None:
    """Refuse options that do not fit together, and set the defaults of those that depend on `--vary`."""
    if options.vary is not None and options.runs is not None:
        raise ReproError("--vary runs the script once under each variation: remove --runs")
    for name in ("jobs", "no_copy", "html"):
        if options.vary is None and getattr(options, name):
            raise ReproError(f"--{name.replace('_', '-')} needs --vary")
    options.runs = options.runs or _DEFAULT_RUNS
    options.jobs = options.jobs or 1


def _every(text: str) -> str | int:
    if text in ("epoch", "step"):
        return text
    if (number := _whole_number(text)) < 1:
        raise argparse.ArgumentTypeError(
            f"needs 'epoch', 'step' or a whole number of steps from 1, received {text!r}"
        )
    return number


def _at_least(smallest: int) -> Callable[[str], int]:
    def parse_number(text: str) -> int:
        if (number := _whole_number(text)) < smallest:
            raise argparse.ArgumentTypeError(f"needs a whole number from {smallest}, received {text!r}")
        return number

    return parse_number


def _whole_number(text: str) -> int:
    """Return the number that a text holds, -1 if it holds none."""
    return int(text) if text.isdecimal() else -1
