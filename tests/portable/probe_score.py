"""Compare the bits of single operations on this CPU, on an emulated one, and with several threads.

    python tests/portable/probe_score.py                          this CPU and Haswell
    python tests/portable/probe_score.py --cpus native EPYC --keep FOLDER
    python tests/portable/probe_score.py --threads 1 2 3 4 8 16   dependence on threads, on this CPU

Print which types are the same and which differ, with the differing cases, and which types of
`control.operations` were not tried. Some ten minutes of a core for each emulated CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

from keras_repro.determinism.operation_catalogue import known_types  # noqa: E402
from keras_repro.determinism.portable_pins import portable_environment  # noqa: E402

# TensorFlow asks the CPU to treat denormal operands as zeros; the emulator (qemu 7.2) ignores it in these.
WRONG_IN_THE_EMULATOR = {("Maximum", "float32 any bits"), ("Minimum", "float32 any bits")}

Results = Mapping[tuple[str, str], Mapping[str, str]]
"""Digests or errors by operation and case, then by CPU or number of threads."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Which operations are the same on another CPU?")
    parser.add_argument("--cpus", nargs="+", default=["native", "Haswell"], metavar="CPU")
    parser.add_argument("--threads", nargs="+", type=int, metavar="N", help="compare these, on this CPU")
    parser.add_argument("--thorough", action="store_true", help="many more shapes of products")
    parser.add_argument(
        "--keep", type=Path, help="a folder for what was found; what is there is not run again"
    )
    options = parser.parse_args(arguments)
    thorough = ["--thorough"] if options.thorough else []
    results: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for cpu in ["native"] if options.threads else options.cpus:
        threads = list(map(str, options.threads or [1]))
        for line in _lines(cpu, ["--threads", *threads, *thorough], options.keep):
            result = json.loads(line)
            place = str(result["threads"]) if options.threads else cpu
            results[result["operation"], result["case"]][place] = (
                result.get("digest") or f"failed: {result['failed']}"
            )
    print(report(results, listed=known_types()))
    return (
        0
        if all(_same(by_place) or case in WRONG_IN_THE_EMULATOR for case, by_place in results.items())
        else 1
    )


def report(results: Results, *, listed: Iterable[str]) -> str:
    """Return which operations are the same and which differ, as text.

    Args:
        results: the results of all cases.
        listed: the types to try.
    """
    cases: dict[str, int] = defaultdict(int)
    different: dict[str, list[str]] = defaultdict(list)
    kept_apart: list[str] = []
    for (operation, case), by_place in results.items():
        cases[operation] += 1
        if _same(by_place):
            continue
        if (operation, case) in WRONG_IN_THE_EMULATOR:
            kept_apart.append(f"{operation} ({case})")
        else:
            different[operation].append(f"{case}: {_groups(by_place)}")
    places = ", ".join(dict.fromkeys(p for by_place in results.values() for p in by_place))
    equal = sorted(o for o in cases if o not in different)
    lines = [f"compared: {places}; {sum(cases.values())} cases of {len(cases)} types"]
    lines.append(f"the same: {', '.join(f'{o} {cases[o]}' for o in equal) or 'none'}")
    for operation in sorted(different):
        lines.append(f"different: {operation}, {len(different[operation])} of {cases[operation]}")
        lines += [f"    {line}" for line in different[operation]]
    if kept_apart:
        lines.append(f"the emulator is wrong: {', '.join(kept_apart)}")
    missing = sorted(set(listed) - set(cases))
    lines.append(f"on the list and not tried: {' '.join(missing) or 'none'}")
    return "\n".join(lines)


def _same(by_place: Mapping[str, str]) -> bool:
    return len(set(by_place.values())) == 1 and not any(v.startswith("failed") for v in by_place.values())


def _groups(by_place: Mapping[str, str]) -> str:
    """Return the groups with equal results, such as `1 2 4 | 3 | 8`."""
    groups: dict[str, list[str]] = defaultdict(list)
    for place, digest in by_place.items():
        groups[digest].append(place)
    return " | ".join(" ".join(g) + (f" ({d})" if d.startswith("failed") else "") for d, g in groups.items())


def _lines(cpu: str, options: Sequence[str], keep: Path | None) -> list[str]:
    """Return the output of the probe on a CPU, from the folder if it is already there."""
    file = None if keep is None else keep / f"probe-{cpu}-{'-'.join(o.strip('-') for o in options)}.jsonl"
    if file is not None and file.exists():
        return file.read_text().splitlines()
    emulator = [] if cpu == "native" else ["qemu-x86_64", "-cpu", cpu]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [*emulator, sys.executable, str(HERE / "probe.py"), *options],
        env=os.environ | portable_environment(1) | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{cpu}: exit code {done.returncode}\n{done.stderr[-1500:]}")
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(done.stdout)
    return done.stdout.splitlines()


if __name__ == "__main__":
    sys.exit(main())
