"""Parse the command line of `keras-repro`: commands, their options, and the script's own arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from keras_repro._version import __version__
from keras_repro.errors import ReproError

_DEFAULT_RUNS = 3
_MOST_RUNS = 10_000
_MOST_THREADS = 4096
_LARGEST_SEED = 2**32 - 1  # of Python's hash seed and of NumPy
_LARGEST = 2**63 - 1
_SCRIPT_USAGE = "keras-repro {} [OPTIONS] (SCRIPT | -m MODULE) [ARGUMENTS OF THE SCRIPT]"
_SCRIPT_EPILOG = "Options may follow SCRIPT. Everything after -- is passed to the script unchanged."


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
    if argv and argv[0] in ("reproduce", "diagnose") and "--" in argv:
        end = argv.index("--")
        options = parser.parse_args(argv[:end])
        options.arguments = argv[end + 1 :]
        return options
    options = parser.parse_args(argv)
    if options.command == "compare":
        _check_compare(options, commands["compare"])
    return options


def build_parsers() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """Build the parser of the program and, by name, those of its commands."""
    parser = _Parser(
        prog="keras-repro",
        description="Run any Keras training twice and check whether the two runs are bit-identical.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"keras-repro {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in _commands().items():
        subparser = subparsers.add_parser(
            name,
            help=command.text,
            description=command.text,
            usage=command.usage,
            epilog=command.epilog,
            allow_abbrev=False,
        )
        for names, settings in command.arguments:
            subparser.add_argument(*names.split(), **settings)
        subparser.set_defaults(command=name, **command.defaults)
    return parser, subparsers.choices


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ReproError(f"{message} (see '{self.prog} --help')")


_Argument = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class _Command:
    """A command: its description, arguments, usage line, closing line, and fixed options."""

    text: str
    arguments: list[_Argument]
    usage: str | None = None
    epilog: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)


def _commands() -> dict[str, _Command]:
    run_dir = _option("--run-dir", "record into FOLDER (default: .keras_repro)", metavar="FOLDER")
    force = _flag("--force", "replace runs in FOLDER, and an edited FILE that we wrote")
    force_file = _flag("--force", "replace an edited FILE that we wrote")
    json_file = _option("--json", "write the result to FILE as JSON", metavar="FILE")
    html_file = _option("--html", "write a self-contained HTML report to FILE", metavar="FILE")
    hidden_arguments = "Give the script's arguments only if some of them are not in the ledger."
    two_runs: list[_Argument] = [("a", {"metavar": "RUN"}), ("b", {"metavar": "RUN"})]
    script_options = [
        run_dir,
        force,
        json_file,
        _option("--pin-seed", "pin this seed (default: 42)", type=_within(0, _LARGEST_SEED), default=42),
        _flag("--portable", "produce the same bits on any x86-64 CPU with AVX2 (slower)"),
        _option(
            "--threads",
            "set the threads that a portable run is guaranteed for (default: 1)",
            type=_within(1, _MOST_THREADS),
            default=1,
        ),
        _flag("--allow-unportable", "train even if the model is not portable, and record why"),
        _flag("--publish-arguments", "record all arguments of the script as they are, secrets too"),
        _option("--max-epochs", "limit the epochs of every fit", type=_within(1)),
        _option("--max-steps", "limit the steps of every epoch", type=_within(1)),
        _option(
            "--every",
            "record state and batch of every step, or of every N-th one",
            type=_every,
            default="epoch",
            metavar="step|N",
        ),
    ]
    try_fix = _option(
        "--try-fix",
        "try the fix in a copy (default: if that takes under 5 minutes)",
        action=argparse.BooleanOptionalAction,
    )
    runs_help = f"run the script this many times (default: {_DEFAULT_RUNS})"
    return {
        "run": _Command(
            "run a script once with all seeds and switches pinned, and record it",
            [
                *script_options,
                _flag("--resume", "continue an interrupted run (in .keras_repro/NAME-resumable)"),
            ],
            usage=_SCRIPT_USAGE.format("run"),
            epilog=_SCRIPT_EPILOG,
            defaults={"enforce": True, "keep_hash_seed": True},
        ),
        "verify": _Command(
            "run a script several times in fresh processes and compare the runs",
            [
                *script_options,
                _option("--runs", runs_help, type=_within(2, _MOST_RUNS)),
                _flag("--enforce", "pin every seed and switch"),
                _flag("--keep-hash-seed", "use the same hash seed for all runs"),
                _flag("--keep-going", "let all runs finish, even after they diverge"),
                _flag("--explain", "diagnose the cause if the runs diverge"),
                try_fix,
                _option(
                    "--vary",
                    "run once under each condition: 'all', names with commas, or 'list'",
                    metavar="LIST",
                ),
                _option(
                    "--jobs",
                    "run up to this many independent variations at once (default: 1)",
                    type=_within(1, _MOST_THREADS),
                ),
                _flag("--no-copy", "run variations in the folder itself, not in copies of it"),
                html_file,
            ],
            usage=_SCRIPT_USAGE.format("verify"),
            epilog=_SCRIPT_EPILOG,
        ),
        "compare": _Command(
            "show where two recorded runs, or two fits of one run, diverge",
            [
                ("a", {"metavar": "RUN"}),
                ("b", {"metavar": "RUN", "nargs": "?"}),
                _option(
                    "--fits",
                    "compare two fits of one RUN, by their numbers from 1",
                    metavar="N",
                    nargs=2,
                    type=_within(1),
                ),
                _option(
                    "--noise",
                    "estimate seed noise from 3 or more runs with other seeds",
                    metavar="RUN",
                    nargs="+",
                    default=(),
                ),
                html_file,
                _option("--png", "write heat map and loss curves to FILE as PNG", metavar="FILE"),
                json_file,
                force_file,
            ],
            usage="keras-repro compare [OPTIONS] RUN (RUN | --fits N N)",
        ),
        "diagnose": _Command(
            "find out why two recorded runs diverge",
            [*two_runs, try_fix, run_dir, force, json_file],
            usage="keras-repro diagnose [OPTIONS] RUN RUN [-- ARGUMENTS OF THE SCRIPT]",
            epilog=hidden_arguments,
            defaults={"arguments": None},
        ),
        "reproduce": _Command(
            "re-run a recorded run and compare while it trains",
            [
                ("run", {"metavar": "RUN"}),
                _flag("--yes", "run the recorded command without asking"),
                _flag("--anyway", "run even if recorded code or files are missing or changed"),
                _flag("--no-pin", "keep the variables and threads of this machine"),
                _option("--script", "run FILE if the script has been moved", metavar="FILE"),
                run_dir,
                force,
                json_file,
            ],
            usage="keras-repro reproduce [OPTIONS] RUN [-- ARGUMENTS OF THE SCRIPT]",
            epilog=hidden_arguments,
            defaults={"arguments": None},
        ),
        "doctor": _Command("list the determinism switches on this machine", [json_file, force_file]),
        "report": _Command(
            'write the "Reproducibility Information" section of a paper',
            [
                ("run", {"metavar": "RUN", "nargs": "+"}),
                _option("-o --output", "write to FILE instead of the terminal", metavar="FILE"),
                json_file,
                force_file,
            ],
        ),
    }


def _option(name: str, text: str, **settings: Any) -> _Argument:
    return name, {"help": text, **settings}


def _flag(name: str, text: str) -> _Argument:
    return _option(name, text, action="store_true")


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
    if options.try_fix and (options.vary is not None or not options.explain):
        raise ReproError("--try-fix needs --explain, without --vary")
    options.runs = options.runs or _DEFAULT_RUNS
    options.jobs = options.jobs or 1


def _check_compare(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Refuse runs and options that do not fit together."""
    if options.fits is None and options.b is None:
        parser.error("the following arguments are required: RUN")
    if options.fits is not None and options.b is not None:
        raise ReproError("--fits compares two fits of one run: give one RUN")
    if options.fits is not None and options.noise:
        raise ReproError("--noise needs two runs: remove --fits")


def _every(text: str) -> str | int:
    if text in ("epoch", "step"):
        return text
    if (number := _whole_number(text)) < 1:
        raise argparse.ArgumentTypeError(
            f"needs 'epoch', 'step' or a whole number of steps from 1, received {text!r}"
        )
    return number


def _within(smallest: int, largest: int = _LARGEST) -> Callable[[str], int]:
    def parse_number(text: str) -> int:
        if (number := _whole_number(text)) < smallest:
            raise argparse.ArgumentTypeError(f"needs a whole number from {smallest}, received {text!r}")
        if number > largest:
            raise argparse.ArgumentTypeError(f"needs a whole number up to {largest}, received {text[:40]!r}")
        return number

    return parse_number


def _whole_number(text: str) -> int:
    """Return the number that a text holds, -1 if it holds none. Digits after the 20th are ignored."""
    return int(text[:20]) if text.isdecimal() else -1
