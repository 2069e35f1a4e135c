"""Trains the models of `models.py` on this CPU and on emulated ones, and compares their fingerprints.

    python tests/portable/score.py                              all; exit code 1 where portable runs differ
    python tests/portable/score.py --cpus native Haswell --models mlp cnn
    python tests/portable/score.py --plain                      also without the mode: a second table

`example` among the models is examples/breast_cancer.py, run as `keras-repro run --portable` runs it. Emulated
CPUs need qemu-x86_64 (Debian's qemu-user); each takes some ten minutes for all models.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

from keras_repro.control.portable import Portability, portable_environment  # noqa: E402
from keras_repro.control.switches import pinned_environment  # noqa: E402
from keras_repro.examine.verify import Task  # noqa: E402
from keras_repro.record.ledger import read_ledger  # noqa: E402

CPUS = ("native", "Haswell", "EPYC", "Skylake-Client", "max")
MODELS = ("mlp", "cnn", "depthwise", "lstm", "transformer", "autoencoder")
EXAMPLE = "example"
SEED = 42

Table = Mapping[str, Mapping[str, str]]


def fingerprints(cpu: str, models: Sequence[str], *, plain: bool = False) -> dict[str, str]:
    """Trains models on one CPU; returns the fingerprint of each, or what became of it.

    Args:
        cpu: `"native"`, or a CPU model as `qemu-x86_64 -cpu help` lists them.
        models: their names.
        plain: whether without the mode, and with nothing pinned.
    """
    found: dict[str, str] = {}
    ours = [m for m in models if m != EXAMPLE]
    if ours:
        options = ["--plain"] if plain else []
        done = _run(cpu, [str(HERE / "child.py"), *options, *ours], _environment(plain))
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                found |= json.loads(line)
        found |= {m: f"failed: exit code {done.returncode}" for m in ours if m not in found}
        if done.returncode:
            print(done.stderr[-2000:], file=sys.stderr)
    if EXAMPLE in models:
        found[EXAMPLE] = _of_the_example(cpu, plain=plain)
    return found


def table(rows: Table, models: Iterable[str]) -> str:
    """The fingerprints as text, a row a model, cut to their first digits."""
    cpus = list(rows)
    lines = [f"{'':<13}" + "".join(f"{c:<17}" for c in cpus)]
    for model in models:
        held = [_short(rows[c].get(model, "-")) for c in cpus]
        same = "one" if len(set(held)) == 1 else f"{len(set(held))} different"
        lines.append(f"{model:<13}" + "".join(f"{h:<17}" for h in held) + same)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="One fingerprint on every CPU?")
    parser.add_argument("--cpus", nargs="+", default=list(CPUS), metavar="CPU", help="default: %(default)s")
    parser.add_argument(
        "--models", nargs="+", default=[*MODELS, EXAMPLE], choices=[*MODELS, EXAMPLE], metavar="MODEL"
    )
    parser.add_argument("--plain", action="store_true", help="train without the mode too: a second table")
    options = parser.parse_args(arguments)
    if set(options.cpus) - {"native"} and shutil.which("qemu-x86_64") is None:
        print("no qemu-x86_64: install it (Debian: apt-get install qemu-user)", file=sys.stderr)
        return 2
    rows: dict[str, dict[str, str]] = {}
    plain: dict[str, dict[str, str]] = {}
    for cpu in options.cpus:
        began = time.monotonic()
        rows[cpu] = fingerprints(cpu, options.models)
        if options.plain:
            plain[cpu] = fingerprints(cpu, options.models, plain=True)
        print(f"{cpu}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print("portable\n" + table(rows, options.models))
    if options.plain:
        print("\nwithout the mode, nothing pinned\n" + table(plain, options.models))
    agree = all(len({rows[c][m] for c in rows}) == 1 for m in options.models)
    failed = any("failed" in f for row in rows.values() for f in row.values())
    return 0 if agree and not failed else 1


def _environment(plain: bool) -> dict[str, str]:
    pinned = {} if plain else portable_environment(SEED)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return os.environ | pinned | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}


def _of_the_example(cpu: str, *, plain: bool) -> str:
    """The fingerprint of the example: pinned for this machine alone where `plain`."""
    pinned = pinned_environment(SEED) if plain else portable_environment(SEED)
    task = Task(
        script="examples/breast_cancer.py",
        seed=SEED,
        pinned=pinned,
        keep_hash_seed=True,
        portability=None if plain else Portability(),
    )
    with tempfile.TemporaryDirectory() as folder:
        plan = json.dumps(task.plan(Path(folder), redirect=False).to_dict())
        environment = _environment(plain) | pinned
        done = _run(cpu, ["-m", "keras_repro.training.instrument", plan], environment)
        if done.returncode:
            print(done.stderr[-2000:], file=sys.stderr)
            return f"failed: exit code {done.returncode}"
        return read_ledger(folder).fingerprint or "none"


def _run(
    cpu: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    # A process that an emulated one starts is not emulated: the child is started here.
    emulator = [] if cpu == "native" else ["qemu-x86_64", "-cpu", cpu]
    return subprocess.run(
        [*emulator, sys.executable, *arguments],
        env=dict(environment),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _short(fingerprint: str) -> str:
    digits = re.fullmatch(r"kr1-\w+-([0-9a-f]{32})", fingerprint)
    return digits[1][:12] if digits else fingerprint[:16]


if __name__ == "__main__":
    sys.exit(main())
