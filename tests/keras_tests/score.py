"""Run Keras's own tests bare, observed by `keras-repro run`, and with a `DeterminismCallback` in each fit.

    python tests/keras_tests/score.py                      exit code 1 if an outcome differs from bare
    python tests/keras_tests/score.py callbacks/lambda     only files whose names start so

The tests are those of the installed Keras. Files that need a package that is not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_repro.ledger.reader import open_ledger
from keras_repro.storage.run_folder import LEDGER_NAME

HERE = Path(__file__).resolve().parent
FOLDERS = ("trainers", "callbacks", "models", "saving", "optimizers")

Outcomes = Mapping[str, Mapping[str, str]]


def main(arguments: Sequence[str]) -> int:
    """Run the tests three times, print the counts and the differences, and return the exit code."""
    parser = argparse.ArgumentParser(prog="score.py", description="Keras's own tests, bare and recorded")
    parser.add_argument(
        "names", nargs="*", help="FOLDER/FILE below keras/src, or how they start (default: all)"
    )
    names = parser.parse_args(arguments).names
    files = [f for folder in FOLDERS for f in sorted((keras_source() / folder).glob("*_test.py"))]
    chosen = [f for f in files if not names or str(f.relative_to(keras_source())).startswith(tuple(names))]
    if not chosen:
        parser.error(f"no test file of Keras is named {' or '.join(names)}")
    script = [str(HERE / "run_keras_tests.py")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, callbacks = folder / "run", folder / "callbacks"
        observe = ["-m", "keras_repro", "run", "--run-dir", str(run)]
        bare, _ = _outcomes(script, folder / "bare", chosen)
        observed = _outcomes([*observe, *script], folder / "observed", chosen)
        recorded = _outcomes(script, folder / "recorded", chosen, ["--callbacks", str(callbacks)])
        others = {
            "observed": (*observed, _ended_fits(run)),
            "with callbacks": (*recorded, sum(map(_ended_fits, callbacks.glob("*")))),
        }
    return _report(bare, others)


def keras_source() -> Path:
    """Return the folder of Keras's source, without importing Keras."""
    package = importlib.util.find_spec("keras")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "src"


def _outcomes(
    command: Sequence[str], folder: Path, files: Sequence[Path], options: Sequence[str] = ()
) -> tuple[Outcomes, int]:
    """Return the outcome of each test, and how many fits returned."""
    folder.mkdir()
    path = folder / "outcomes.json"
    with (folder / "output.txt").open("wb") as output:
        subprocess.run(
            [sys.executable, *command, str(path), *options, *map(str, files)],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if not path.exists():
        sys.exit((folder / "output.txt").read_text(errors="replace")[-3000:])
    data = json.loads(path.read_text())
    return data["outcomes"], data["fits"]


def _ended_fits(run: Path) -> int:
    """Return how many fits a ledger has recorded to their end, 0 if there is no ledger."""
    if not (run / LEDGER_NAME).exists():
        return 0
    return sum(record.kind == "end" for record in open_ledger(run).typed_records())


def _report(bare: Outcomes, others: Mapping[str, tuple[Outcomes, int, int]]) -> int:
    """Print the counts of each way, the tests with another outcome, and the fits without a record."""
    print(f"{'':16} {_counts(bare)}")
    different = missing = 0
    for name, (outcomes, fits, recorded) in others.items():
        changed = [test for test in sorted({*bare, *outcomes}) if outcomes.get(test) != bare.get(test)]
        print(f"{name:16} {_counts(outcomes)}, {len(changed)} not as bare; {recorded} records of {fits} fits")
        for test in changed:
            print(f"  {test.rpartition('/src/')[2]}: bare {bare.get(test)}, {name} {outcomes.get(test)}")
        different += len(changed)
        missing += max(0, fits - recorded)
    return 0 if bare and not different and not missing else 1


def _counts(outcomes: Outcomes) -> str:
    """Return how many tests passed, were skipped and failed, in words."""
    kinds = Counter(_outcome(phases) for phases in outcomes.values())
    return f"{len(outcomes)} tests: " + ", ".join(f"{kinds[k]} {k}" for k in ("passed", "skipped", "failed"))


def _outcome(phases: Mapping[str, str]) -> str:
    errors = set(phases.values()) - {"passed"}
    return "passed" if not errors else "skipped" if errors <= {"Skipped", "SkipTest"} else "failed"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
