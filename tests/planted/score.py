"""Score `keras-repro verify --explain` on the planted causes: verdicts, causes and places.

    python tests/planted/score.py                      all of them; exit code 1 below the bars
    python tests/planted/score.py hash clean/uuid      those whose names start with these
    python tests/planted/score.py --try-fix hash       also try each fix, with two more trainings

`NAME.json` next to each script `SOURCE/NAME.py` holds the expected result: `{"cause", "place", "why"}` with
optional `file`, `fix` and `also`, or `{"clean": true, "why"}`. Each script runs in a copy of its folder.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import io
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from forkserver import ForkServerPool  # noqa: E402

CAUSE_BAR, PLACE_BAR, FIX_BAR = 0.95, 0.85, 0.9
APPLICABLE_BAR, VERIFIED_BAR = 0.75, 0.9

# Options that ask for the cause; without them only the verdict is scored.
EXPLAIN: tuple[str, ...] = ("--explain",)

# Functions that start processes, by the command whose module calls them.
LAUNCHING = (("verify", "verify"), *((("diagnose", "diagnose"), ("diagnose", "try_fix")) if EXPLAIN else ()))


@dataclass(frozen=True, kw_only=True)
class Case:
    """One script and the expected result.

    Attributes:
        name: `SOURCE/NAME`.
        clean: whether it is reproducible.
        causes: the correct causes; none if it is clean.
        place: the correct `line`, `layer` or `variable`; any one is enough.
        files: names of the files that contain the lines of `place`.
        why: one sentence for people.
        fix: text in a correct fix; any one is enough; empty if any fix is accepted.
        also: text in the lines that must be named as further sources.
    """

    name: str
    clean: bool
    causes: tuple[str, ...]
    place: Mapping[str, tuple[str, ...]]
    files: tuple[str, ...]
    why: str
    fix: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    @property
    def script(self) -> Path:
        """The script in the repository."""
        return HERE / f"{self.name}.py"


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a case.

    Attributes:
        case: the case.
        code: exit code of the command.
        divergence: the divergence in machine form, empty without one.
        error: the standard error of the command.
        seconds: wall time.
    """

    case: Case
    code: int
    divergence: Mapping[str, Any]
    error: str
    seconds: float

    @property
    def found(self) -> bool:
        """Whether the verdict is right: a difference, or none in a clean script."""
        return self.code == (0 if self.case.clean else 1)

    @property
    def cause_right(self) -> bool:
        """Whether a correct cause was named."""
        return self.found and self.divergence.get("cause") in self.case.causes

    @property
    def contradicts_ledgers(self) -> bool:
        """Whether the ledgers alone named another cause than the diagnosis."""
        diagnosis = self.divergence.get("diagnosis") or {}
        return diagnosis.get("recorded_cause", "unknown") not in ("unknown", self.divergence.get("cause"))

    @property
    def place_right(self) -> bool:
        """Whether the line, the layer or the variable is right."""
        return self.found and place_is_right(self.divergence, self.case)

    @property
    def trial(self) -> Mapping[str, Any]:
        """The result of trying the fix, empty if it was not tried."""
        return (self.divergence.get("diagnosis") or {}).get("fix_tried") or {}

    @property
    def fix_applicable(self) -> bool:
        """Whether the fix is code that could be tried."""
        return self.trial.get("result") not in (None, "not applicable", "not tried")

    @property
    def fix_verified(self) -> bool:
        """Whether the runs with the fix agree; for a race, whether it was not seen again."""
        return self.trial.get("result") in ("verified", "not seen again")

    @property
    def fix_right(self) -> bool:
        """Whether the fix and the further sources are those that the case asks for, if it does."""
        diagnosis = self.divergence.get("diagnosis") or {}
        lines = [further["source"]["code"] for further in diagnosis.get("also", ())]
        fix = str(self.divergence.get("fix"))
        wanted = self.case.fix
        return (not wanted or any(text in fix for text in wanted)) and all(
            any(text in line for line in lines) for text in self.case.also
        )


def cases(names: Sequence[str] = ()) -> list[Case]:
    """All cases, or those whose names start with one of `names`."""
    paths = sorted(path.relative_to(HERE).with_suffix("") for path in HERE.glob("*/*.json"))
    chosen = [str(n) for n in paths if not names or str(n).startswith(tuple(names))]
    return [read_case(name) for name in chosen]


def read_case(name: str) -> Case:
    """Read the expected result of a script."""
    data = json.loads((HERE / f"{name}.json").read_text())
    return Case(
        name=name,
        clean=data.get("clean", False),
        causes=_several(data.get("cause")),
        place={kind: _several(right) for kind, right in data.get("place", {}).items()},
        files=_several(data.get("file")) or (f"{Path(name).name}.py",),
        why=data["why"],
        fix=_several(data.get("fix")),
        also=_several(data.get("also")),
    )


def place_is_right(divergence: Mapping[str, Any], case: Case) -> bool:
    """Whether a divergence names the line, the layer or the variable that a case asks for."""
    names = {
        "layer": [divergence.get("layer")],
        "variable": [divergence.get("variable"), divergence.get("tensor")],
    }
    for kind, right in case.place.items():
        if kind == "line":
            if _line_is_right(divergence.get("source"), case, right):
                return True
        elif any(_names(text, name) for text in names[kind] for name in right):
            return True
    return False


@contextlib.contextmanager
def launcher() -> Iterator[Callable[..., Result]]:
    """Yield a function that runs `keras-repro verify` on a case, in forked children."""
    places = [(importlib.import_module(f"keras_repro.cli.commands.{m}"), name) for m, name in LAUNCHING]
    originals = [getattr(module, name) for module, name in places]
    before = signal.getsignal(signal.SIGTERM)
    with ForkServerPool() as pool:
        for (module, name), original in zip(places, originals, strict=True):
            setattr(module, name, partial(original, launcher=pool.launcher))
        try:
            yield _run
        finally:
            signal.signal(signal.SIGTERM, before)
            for (module, name), original in zip(places, originals, strict=True):
                setattr(module, name, original)


def main(arguments: Sequence[str]) -> int:
    """Run the cases, print the table and the score, and return the exit code."""
    parser = argparse.ArgumentParser(prog="score.py", description="score the planted causes")
    parser.add_argument("names", nargs="*", help="SOURCE or SOURCE/NAME, or how they start (default: all)")
    parser.add_argument("--try-fix", action="store_true", help="try each fix, with two more trainings")
    options = parser.parse_args(arguments)
    chosen = cases(options.names)
    if not chosen:
        parser.error(f"no case is named {' or '.join(options.names)}")
    print(f"{'script':40} {'verdict':9} {'cause (expected)':34} place  seconds")
    results = []
    with launcher() as run:
        for case in chosen:
            results.append(run(case, try_fix=options.try_fix))
            print(_row(results[-1]), flush=True)
    return _summary(results, tried=options.try_fix)


def _run(case: Case, *, try_fix: bool = False) -> Result:
    from keras_repro.cli import main as cli

    began, before = time.monotonic(), os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(case.script.parent, copy, ignore=shutil.ignore_patterns("*.json", "__pycache__"))
        output = Path(folder) / "output.json"
        out, err = io.StringIO(), io.StringIO()
        os.chdir(copy)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                tried = () if not EXPLAIN else ("--try-fix",) if try_fix else ("--no-try-fix",)
                options = ["--runs", "2", *EXPLAIN, *tried, "--json", str(output)]
                code = cli.main(["verify", case.script.name, *options])
        finally:
            os.chdir(before)
        if code == 2 and "interrupted" in err.getvalue():
            raise KeyboardInterrupt  # the command catches it
        data = json.loads(output.read_text()) if output.exists() else {}
    return Result(
        case=case,
        code=code,
        divergence=data.get("divergence") or {},
        error=err.getvalue(),
        seconds=time.monotonic() - began,
    )


def _row(result: Result) -> str:
    case, named_cause = result.case, str(result.divergence.get("cause") or "")
    verdict = {0: "same", 1: "differ"}.get(result.code, f"exit {result.code}")
    cause = (
        named_cause
        if not EXPLAIN or result.cause_right or case.clean
        else f"{named_cause} ({', '.join(case.causes)})"
    )
    place = "" if case.clean or not EXPLAIN else "right" if result.place_right else "WRONG"
    row = f"{case.name:40} {verdict:9} {cause:34} {place:6} {result.seconds:5.1f}"
    if not result.found:
        row += f"  <- {'FALSE ALARM' if case.clean else 'NOT FOUND'} {result.error[-1500:]}"
    elif EXPLAIN and not case.clean and not (result.cause_right and result.place_right):
        source = _source(result.divergence.get("source"))
        place_named = f"{source[0]}:{source[1]}" if source else "no line"
        named = result.divergence.get("layer"), result.divergence.get("variable")
        row += f"  <- named: {place_named}, {', '.join(str(n) for n in named if n)}"
    elif result.contradicts_ledgers:
        row += f"  <- the ledgers: {result.divergence['diagnosis']['recorded_cause']}"
    elif EXPLAIN and not case.clean and not result.fix_right:
        row += f"  <- fix: {result.divergence.get('fix')}"
    if result.trial:
        row += f"  {result.trial['result']}"
        if not result.fix_verified:
            row += f": {result.trial['reason']} <- {result.divergence.get('fix')}"
    return row


def _summary(results: Sequence[Result], *, tried: bool = False) -> int:
    planted = [r for r in results if not r.case.clean]
    found = sum(r.found for r in planted)
    false_alarms = sum(not r.found for r in results if r.case.clean)
    good = found == len(planted) and not false_alarms
    print(f"\nfound         {found}/{len(planted)}")
    for name, right, bar in (
        ("cause right", sum(r.cause_right for r in planted), CAUSE_BAR),
        ("place right", sum(r.place_right for r in planted), PLACE_BAR),
    ):
        if EXPLAIN and planted:
            print(f"{name:13} {right}/{len(planted)} ({right / len(planted):.0%}, bar {bar:.0%})")
            good &= right >= bar * len(planted)
    with_fix = [r for r in planted if r.case.fix or r.case.also]
    if EXPLAIN and with_fix:
        right = sum(r.fix_right for r in with_fix)
        print(f"fix right     {right}/{len(with_fix)} ({right / len(with_fix):.0%}, bar {FIX_BAR:.0%})")
        good &= right >= FIX_BAR * len(with_fix)
    if tried and planted:
        applicable = [r for r in planted if r.fix_applicable]
        verified = sum(r.fix_verified for r in applicable)
        for name, right, of, bar in (
            ("applicable fix", len(applicable), len(planted), APPLICABLE_BAR),
            ("verified when tried", verified, len(applicable), VERIFIED_BAR),
        ):
            print(f"{name} {right}/{of} ({right / max(of, 1):.0%}, bar {bar:.0%})")
            good &= right >= bar * of
    diagnosed = [r for r in planted if r.divergence.get("diagnosis")]
    if EXPLAIN and diagnosed:
        contradicting = sum(r.contradicts_ledgers for r in diagnosed)
        print(f"contradicts the ledgers {contradicting}/{len(diagnosed)} (bar 0)")
        good &= not contradicting
    print(f"false alarms  {false_alarms}/{len(results) - len(planted)}")
    return 0 if good else 1


def _several(value: str | list[str] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def _names(text: object, name: str) -> bool:
    """Whether `text` contains `name` as a whole word or a whole part of a path."""
    return text is not None and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", str(text)) is not None


def _line_is_right(location: object, case: Case, fragments: Sequence[str]) -> bool:
    """Whether a named line is in the same statement as one of the right fragments."""
    source = _source(location)
    if source is None or Path(source[0]).name not in {Path(f).name for f in case.files}:
        return False
    for name in case.files:
        if Path(name).name == Path(source[0]).name:
            statement = _statement((case.script.parent / name).read_text(), source[1])
            if any(fragment in statement for fragment in fragments):
                return True
    return False


def _source(source: object) -> tuple[str, int] | None:
    """File and line of `{"file", "line"}` or `"script.py:12: code"`."""
    if isinstance(source, Mapping) and source.get("file") and source.get("line"):
        return str(source["file"]), int(source["line"])
    match = re.match(r"(.+?):(\d+)", source) if isinstance(source, str) else None
    return (match[1], int(match[2])) if match else None


def _statement(text: str, line: int) -> str:
    """The text of the innermost simple statement around a line; of `def`, `for`, ... only the line itself."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt) and not hasattr(node, "body") and not isinstance(node, ast.Match):
            assert node.end_lineno is not None
            if node.lineno <= line <= node.end_lineno:
                return "\n".join(lines[node.lineno - 1 : node.end_lineno])
    return lines[line - 1] if 0 < line <= len(lines) else ""


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
