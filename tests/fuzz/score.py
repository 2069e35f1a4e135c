"""Give mutated files to every command that reads them, and check what each promises for any input.

    make fuzz SECONDS=600

Exit codes are 0, 1 and 2, and 1 (or 0) only if the chains really differ (or are equal); one line on standard
error if a command fails; no tag, link or control sequence from a file in any output; less than 10 seconds and
1 GB. Each case is a function of the seed and its number, so that a failure can be repeated (--seed, --case).
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import gc
import io
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # A forked process has no threads of its own.

from fuzz.checks import (  # noqa: E402
    chain_of,
    problems_of_error,
    problems_of_markdown,
    problems_of_page,
    problems_of_text,
)
from fuzz.corpus import write_corpus  # noqa: E402
from fuzz.mutations import Run, mutate  # noqa: E402

MOST_SECONDS, MOST_BYTES = 10, 1 << 30
_MOST_SHOWN = 5  # problems of a kind

# By weight. `{0}` and `{1}` are runs of which one is mutated, `{2}` to `{4}` runs with other seeds.
COMMANDS = (
    ("compare {0} {1} --json out.json", 6),
    ("compare {0} {1} --html out.html", 4),
    ("compare {0} {1} --png out.png", 1),
    ("compare {0} {1} --noise {2} {3} {4}", 1),
    ("compare {2} {3} --noise {0} {1} {4}", 1),
    ("diagnose {0} {1} --json out.json", 2),
    ("report {0} --json out.json", 3),
    ("report {0} {1} -o out.md", 3),
    ("reproduce {0}", 1),
)


@dataclass(frozen=True)
class Case:
    """A case and its result.

    Attributes:
        number: its number.
        mutation: the name of the mutation.
        command: the words of the command.
        code: the exit code; None if it was killed.
        seconds: processor time.
        megabytes: the largest size in memory.
        problems: what is wrong.
    """

    number: int
    mutation: str
    command: str
    code: int | None
    seconds: float
    megabytes: int
    problems: tuple[str, ...]


@dataclass
class Score:
    """The results of many cases."""

    cases: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    megabytes: int = 0
    bad: list[Case] = field(default_factory=list)

    def add(self, case: Case) -> None:
        """Count a case."""
        self.cases += 1
        self.codes[f"{case.command.split()[0]} {case.code}"] += 1
        self.seconds = max(self.seconds, case.seconds)
        self.megabytes = max(self.megabytes, case.megabytes)
        if case.problems:
            self.bad.append(case)


class Fuzzer:
    """Run cases in forked processes.

    Args:
        folder: an empty folder for the files.
        seed: decides all mutations and commands.
    """

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self._seed, self._folder = seed, folder
        self._pairs = write_corpus(folder / "corpus")
        self._others = [folder / "corpus" / f"w{n}" for n in (2, 3, 4)]
        _import_all()

    def case(self, number: int) -> Case:
        """Run one case."""
        random = Random(f"{self._seed} {number}")
        folder = self._folder / f"case-{number}"
        runs = [Run.read(folder) for folder in random.choice(self._pairs)]
        (first, second), mutated = runs, random.random() < 0.5
        mutation = mutate(first if mutated else second, random)
        first.write(folder / "a")
        second.write(folder / "b")
        command = random.choices([c for c, _ in COMMANDS], [w for _, w in COMMANDS])[0]
        words = command.format("a", "b", *self._others).split()
        if words[0] != "diagnose":  # it would run the script
            shutil.copy(self._folder / "corpus" / "train.py", folder)
        styled = random.random() < 0.5
        code, usage = _run(words, folder, styled=styled)
        problems = [*_problems(words, folder, code, styled=styled)]
        seconds, megabytes = usage.ru_utime + usage.ru_stime, usage.ru_maxrss >> 10
        if seconds > MOST_SECONDS or usage.ru_maxrss << 10 > MOST_BYTES:
            problems.append(f"too much: {seconds:.1f} s, {megabytes} MB")
        if not problems:
            shutil.rmtree(folder)
        return Case(number, mutation, " ".join(words), code, seconds, megabytes, tuple(problems))


def _import_all() -> None:
    """Import what the commands import, so that a forked process starts at once."""
    import matplotlib.backends.backend_agg
    import matplotlib.figure

    import keras_repro.cli.main
    from keras_repro.cli.arguments import build_parsers

    for name in build_parsers()[1]:
        __import__(f"keras_repro.cli.commands.{name}")
    assert matplotlib.figure
    assert keras_repro.cli.main
    gc.freeze()  # A forked process would copy every page that a collection touches.


def _run(words: Sequence[str], folder: Path, *, styled: bool) -> tuple[int | None, resource.struct_rusage]:
    """Run a command in a forked process with limits; return its exit code and what it used."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        code = 99
        try:
            code = _in_child(words, folder, styled=styled)
        except BaseException:
            os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
        finally:
            os._exit(code)
    _, status, usage = os.wait4(process, 0)
    return (os.WEXITSTATUS(status) if os.WIFEXITED(status) else None), usage


def _in_child(words: Sequence[str], folder: Path, *, styled: bool) -> int:
    from keras_repro.cli.main import main

    os.chdir(folder)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = open(0)  # noqa: SIM115 - the process ends with it
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), encoding="utf-8", errors="surrogateescape")
    sys.stderr = io.TextIOWrapper(
        io.FileIO(2, "w"), encoding="utf-8", errors="backslashreplace", line_buffering=True
    )
    if styled:
        os.environ |= {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    tempfile.tempdir = str(folder)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (2 * MOST_SECONDS, 2 * MOST_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, 1 << 28))
    signal.alarm(6 * MOST_SECONDS)
    code = main(words)
    sys.stdout.flush()
    return code


def _problems(words: Sequence[str], folder: Path, code: int | None, *, styled: bool) -> Iterator[str]:
    if code not in (0, 1, 2):
        yield f"exit code {code}: {(folder / 'stderr').read_text(errors='replace')[-600:]}"
        return
    out, error = (
        (folder / name).read_bytes().decode("utf-8", "surrogateescape") for name in ("stdout", "stderr")
    )
    yield from problems_of_text(out, styled=styled)
    yield from problems_of_text(error, styled=False)
    yield from problems_of_error(code, error)
    yield from _wrong_code(words, folder, code)
    if (folder / "executed").exists():
        yield "the recorded script was run"
    if (page := folder / "out.html").exists():
        yield from problems_of_page(page.read_text())
    if (page := folder / "out.md").exists():
        yield from problems_of_markdown(page.read_text())
    if words[0] == "report" and "-o" not in words:
        yield from problems_of_markdown(out)
    if (data := folder / "out.json").exists() and not data.read_text().isascii():
        yield "the JSON is not ASCII"


def _wrong_code(words: Sequence[str], folder: Path, code: int) -> Iterator[str]:
    """Yield what is wrong with the exit code, by an independent reader of the chains."""
    if words[0] in ("report", "reproduce"):
        if code not in ((0, 2) if words[0] == "report" else (2,)):
            yield f"{words[0]} cannot find a difference, but exits with {code}"
    elif words[1:3] == ["a", "b"] and code != 2:
        same = chain_of(folder / "a" / "ledger.jsonl") == chain_of(folder / "b" / "ledger.jsonl")
        if same != (code == 0):
            yield f"exit code {code}, but the chains are {'equal' if same else 'different'}"


def score(
    folder: Path, *, seed: int, seconds: float = float("inf"), cases: int = sys.maxsize, workers: int = 1
) -> Score:
    """Run cases for a time, or a number of them, in several processes."""
    fuzzer, result = Fuzzer(folder, seed), Score()
    until = time.monotonic() + seconds
    pipes = []
    for worker in range(workers):
        read, write = os.pipe()
        if os.fork() == 0:
            os.close(read)
            with contextlib.suppress(KeyboardInterrupt), os.fdopen(write, "w") as out:
                for number in range(worker, cases, workers):
                    if time.monotonic() > until:
                        break
                    print(ascii(vars(fuzzer.case(number))), file=out, flush=True)
            os._exit(0)
        os.close(write)
        pipes.append(os.fdopen(read))
    for pipe in pipes:
        for line in pipe:
            result.add(Case(**ast.literal_eval(line)))
        pipe.close()
        os.wait()
    result.bad.sort(key=lambda case: case.number)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("seconds", type=float, nargs="?", default=60, help="for how long (60)")
    parser.add_argument("--cases", type=int, help="run this many cases, however long they take")
    parser.add_argument("--seed", type=int, default=0, help="seed of the mutations (0)")
    parser.add_argument("--case", type=int, help="run this case alone, and keep its files")
    parser.add_argument("--workers", type=int, default=2, help="processes at once (2)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    if options.case is not None:
        print(Fuzzer(folder, options.seed).case(options.case), f"\nfiles: {folder}")
        return 0
    limit = {"seconds": options.seconds} if options.cases is None else {"cases": options.cases}
    result = score(folder, seed=options.seed, workers=options.workers, **limit)
    most = f"at most {result.seconds:.1f} s and {result.megabytes} MB"
    print(f"{result.cases:,} cases, {len(result.bad)} bad; {most}")
    for name, count in sorted(result.codes.items()):
        print(f"{count:7,}  {name}")
    shown: Counter[str] = Counter()
    for case, problem in [(bad, problem) for bad in result.bad for problem in bad.problems]:
        kind = problem.partition(":")[0]
        shown[kind] += 1
        if shown[kind] <= _MOST_SHOWN:
            print(f"case {case.number} ({case.mutation}; {case.command}): {problem}")
    if result.bad:
        print(f"files: {folder}; one again: --seed {options.seed} --case NUMBER")
    else:
        shutil.rmtree(folder)
    return int(bool(result.bad))


if __name__ == "__main__":
    sys.exit(main())
