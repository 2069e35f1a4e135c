"""Train the breast cancer example portably, and compare its fingerprint with that of README.md.

    python examples/portable_fingerprint.py

With the versions that README.md names, every x86-64 CPU with AVX2 must print this fingerprint.
"""

import json
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROMISE = r"`fingerprint (\S+)` on your machine too \((.*?)\)"


def main() -> int:
    """Print one line; return 0 if the fingerprint is as expected, or if a printed reason prevents that."""
    readme = " ".join((ROOT / "README.md").read_text().split())
    expected, versions = re.search(PROMISE, readme).groups()
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer.json")
        command = ["run", "--portable", "--run-dir", f"{folder}/run", "--json", answer]
        run = subprocess.run(
            [sys.executable, "-m", "keras_repro", *command, ROOT / "examples/breast_cancer.py"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if run.returncode:
            print(run.stderr.rstrip().rpartition("\n")[2])
            return 0 if "portable runs need" in run.stderr else run.returncode
        found = json.loads(answer.read_text())["fingerprint"]
    if found == expected:
        print(f"portable: fingerprint {found}, as in README.md: the same bits as on other computers")
        return 0
    pins = dict(pin.rsplit(" ", 1) for pin in versions.split(", "))
    others = [f"{name} {version(name)}" for name, pin in pins.items() if version(name) != pin]
    reason = f"this environment has {', '.join(others)}" if others else "with the same versions, a fault"
    print(f"portable: fingerprint {found}, README.md has {expected}: {reason}")
    return 0 if others else 1


if __name__ == "__main__":
    sys.exit(main())
