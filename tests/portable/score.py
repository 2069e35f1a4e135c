"""Train the models of `models.py` on this CPU and on emulated ones, and compare their fingerprints.

    python tests/portable/score.py                              all; exit code 1 if portable runs differ
    python tests/portable/score.py --cpus native Haswell --models mlp cnn
    python tests/portable/score.py --plain                      also without the mode: a second table
    python tests/portable/score.py --threads 1 2 4              also with these threads, on this CPU: a third
    python tests/portable/score.py --keep FOLDER                models with results in it are not trained

`example` among the models is examples/breast_cancer.py, run as `keras-repro run --portable` runs it. Emulated
CPUs need qemu-x86_64 (Debian's qemu-user). All models on one of them take some five minutes of a core; two
are run at a time (`--at-once`).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

from keras_repro.determinism.portable_pins import Portability, portable_environment  # noqa: E402
from keras_repro.determinism.switches import pinned_environment  # noqa: E402
from keras_repro.ledger.reader import open_ledger  # noqa: E402
from keras_repro.processes.child import child_command  # noqa: E402
from keras_repro.processes.task import Task  # noqa: E402

CPUS = ("native", "Haswell", "EPYC", "Skylake-Client", "max")
OPTIMIZERS = ("mlp-adamw", "mlp-sgd", "mlp-rmsprop", "mlp-adafactor")
MODELS = ("mlp", "cnn", "depthwise", "lstm", "transformer", "autoencoder")
EXAMPLE = "example"
ALL = (*MODELS, *OPTIMIZERS, EXAMPLE)
SEED = 42

Training = dict[str, Any]
"""The result of one training: `fingerprint` or `failed`, and the check's result for threads."""

Table = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Job:
    """Trainings that share a process.

    Attributes:
        cpu: `"native"`, or a CPU model as `qemu-x86_64 -cpu help` lists them.
        plain: whether to train without the mode and without pins.
        threads: number of threads.
    """

    cpu: str
    plain: bool = False
    threads: int = 1

    def __str__(self) -> str:
        kind = "plain" if self.plain else "portable"
        return f"{kind}-{self.cpu}" + (f"-{self.threads}-threads" if self.threads != 1 else "")


def trained(job: Job, models: Sequence[str], *, keep: Path | None = None) -> dict[str, Training]:
    """Train models in one process; return their results by name.

    Args:
        models: names of the models.
        keep: a folder for results; models with results in it are not trained again.
    """
    with tempfile.TemporaryDirectory() as folder:
        lines = (keep or Path(folder)) / f"{job}.jsonl"
        lines.parent.mkdir(parents=True, exist_ok=True)
        results = _read(lines, models)
        untrained = [m for m in models if m not in results and m != EXAMPLE]
        if untrained:
            options = ["--plain"] if job.plain else ["--threads", str(job.threads)]
            with open(lines, "a") as file:
                done = _run(job.cpu, [str(HERE / "child.py"), *options, *untrained], _environment(job), file)
            results = _read(lines, models)
            results |= {m: {"failed": f"exit code {done.returncode}"} for m in untrained if m not in results}
            if done.returncode:
                print(done.stderr[-2000:], file=sys.stderr)
        if EXAMPLE in models and EXAMPLE not in results:
            results[EXAMPLE] = {"model": EXAMPLE} | _of_the_example(job)
            with open(lines, "a") as file:
                file.write(json.dumps(results[EXAMPLE]) + "\n")
    return results


def fingerprints(cpu: str, models: Sequence[str]) -> dict[str, str]:
    """Train models portably on one CPU; return the fingerprint or the failure of each."""
    return {m: _fingerprint(s) for m, s in trained(Job(cpu), models).items()}


def table(rows: Table, models: Iterable[str]) -> str:
    """Return the fingerprints as text, one row per model, cut to their first digits."""
    cpus = list(rows)
    lines = [f"{'':<15}" + "".join(f"{c:<16}" for c in cpus)]
    for model in models:
        values = [_short(rows[c].get(model, "-")) for c in cpus]
        known = {h for h in values if h != "-"}
        same = "one" if len(known) == 1 else f"{len(known)} different"
        lines.append(f"{model:<15}" + "".join(f"{h:<16}" for h in values) + same)
    return "\n".join(lines)


def thread_table(rows: Mapping[int, Mapping[str, Training]], models: Iterable[str]) -> tuple[str, bool]:
    """Return fingerprints with several numbers of threads, next to the check's result for them.

    Returns:
        The table, and whether all rows agree: the same bits exactly for the numbers in the check's result.
    """
    counts = list(rows)
    lines = [f"{'':<15}" + "".join(f"{c:<16}" for c in counts) + "the check says of these"]
    all_agree = True
    for model in models:
        record = rows[counts[0]].get(model, {})
        values = [_fingerprint(rows[c].get(model, {})) for c in counts]
        same = [h == values[0] for h in values]
        expected = [c in record.get("same_at", ()) for c in counts]
        agrees = same == expected
        all_agree = all_agree and agrees
        words = ", ".join(str(c) for c, e in zip(counts, expected, strict=True) if e)
        words = f"the same at {words}; {'agrees' if agrees else 'DOES NOT AGREE'}"
        lines.append(f"{model:<15}" + "".join(f"{_short(h):<16}" for h in values) + words)
    return "\n".join(lines), all_agree


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="One fingerprint on every CPU?")
    parser.add_argument("--cpus", nargs="*", default=list(CPUS), metavar="CPU", help="default: %(default)s")
    parser.add_argument("--models", nargs="+", default=list(ALL), choices=ALL, metavar="MODEL")
    parser.add_argument("--plain", action="store_true", help="train without the mode too: a second table")
    parser.add_argument("--threads", nargs="*", type=int, default=[], metavar="N", help="a third table")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="continue from the results in FOLDER")
    parser.add_argument("--at-once", type=int, default=2, metavar="N", help="processes at a time (2)")
    options = parser.parse_args(arguments)
    if set(options.cpus) - {"native"} and shutil.which("qemu-x86_64") is None:
        print("no qemu-x86_64: install it (Debian: apt-get install qemu-user)", file=sys.stderr)
        return 2
    keep = None if options.keep is None else options.keep.resolve() / _state_of_the_code()
    own_models = [m for m in options.models if m in MODELS]
    jobs = [(Job(c), options.models) for c in options.cpus]
    jobs += [(Job(c, plain=True), options.models) for c in options.cpus if options.plain]
    listed = {job for job, _ in jobs}
    jobs += [(job, own_models) for n in options.threads if (job := Job("native", threads=n)) not in listed]

    def train(job: Job, models: Sequence[str]) -> dict[str, Training]:
        began = time.monotonic()
        result = trained(job, models, keep=keep)
        print(f"{job}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        return result

    with ThreadPoolExecutor(options.at_once) as pool:
        results = list(pool.map(lambda job: train(*job), jobs))
    results_of = {str(job): result for (job, _), result in zip(jobs, results, strict=True)}
    good = True
    for title, plain in (("portable", False), ("without the mode, nothing pinned", True)):
        if not options.cpus or (plain and not options.plain):
            continue
        rows = {
            c: {m: _fingerprint(s) for m, s in results_of[str(Job(c, plain=plain))].items()}
            for c in options.cpus
        }
        print(f"{title}\n{table(rows, options.models)}\n")
        if not plain:
            good = all(len({rows[c][m] for c in rows}) == 1 for m in options.models)
    if options.threads:
        text, agrees = thread_table(
            {n: results_of[str(Job("native", threads=n))] for n in options.threads}, own_models
        )
        print(f"threads, on this CPU\n{text}")
        good = good and agrees
    failed = any("failed" in s for result in results for s in result.values())
    return 0 if good and not failed else 1


def _read(file: Path, models: Sequence[str]) -> dict[str, Training]:
    """Return earlier results; the last line may be incomplete."""
    results: dict[str, Training] = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        if line.startswith("{") and line.endswith("}"):
            record = json.loads(line)
            results |= {record["model"]: record} if record["model"] in models else {}
    return results


def _state_of_the_code() -> str:
    """Return a digest of all that decides the fingerprints: our code, the models, the packages' versions."""
    digest = hashlib.sha256()
    for file in sorted(
        [*(ROOT / "keras_repro").rglob("*.py"), *HERE.glob("*.py"), *ROOT.glob("examples/*.py")]
    ):
        if file.name not in ("score.py", "probe.py", "probe_score.py"):
            digest.update(file.read_bytes())
    for package in sorted(f"{d.metadata['Name']} {d.version}" for d in importlib.metadata.distributions()):
        digest.update(package.encode())
    return digest.hexdigest()[:12]


def _environment(job: Job) -> dict[str, str]:
    pinned = {} if job.plain else portable_environment(SEED, threads=job.threads)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return os.environ | pinned | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}


def _of_the_example(job: Job) -> Training:
    """Run the example and return its result; pinned for this machine only if `plain`."""
    pinned = pinned_environment(SEED) if job.plain else portable_environment(SEED, threads=job.threads)
    task = Task(
        script="examples/breast_cancer.py",
        seed=SEED,
        pinned=pinned,
        keep_hash_seed=True,
        portability=None if job.plain else Portability(threads=job.threads),
    )
    with tempfile.TemporaryDirectory() as folder:
        plan = task.plan(Path(folder), redirect=False)
        environment = _environment(job) | pinned
        done = _run(job.cpu, child_command(plan), environment)
        if done.returncode:
            print(done.stderr[-2000:], file=sys.stderr)
            return {"failed": f"exit code {done.returncode}"}
        return {"fingerprint": open_ledger(folder).fingerprint or "none"}


def _run(
    cpu: str, arguments: Sequence[str], environment: Mapping[str, str], output: Any = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    # A process that an emulated one starts is not emulated: the child is started here.
    emulator = [] if cpu == "native" else ["qemu-x86_64", "-cpu", cpu]
    return subprocess.run(
        [*emulator, sys.executable, *arguments],
        env=dict(environment),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


def _fingerprint(record: Mapping[str, Any]) -> str:
    return str(record.get("fingerprint") or f"failed: {record.get('failed', 'no message')}")


def _short(fingerprint: str) -> str:
    digits = re.fullmatch(r"kr1-\w+-([0-9a-f]{32})", fingerprint)
    return digits[1][:12] if digits else fingerprint[:15]


if __name__ == "__main__":
    sys.exit(main())
