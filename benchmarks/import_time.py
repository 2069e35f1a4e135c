"""Measure the time of `import keras_repro` over bare Python, in alternating fresh processes.

    python benchmarks/import_time.py [--pairs 20]

Bar: less than 0.1 s over bare Python, and no TensorFlow.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from pairs import alternate, print_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20)
    options = parser.parse_args()

    def seconds(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - began

    probe = (
        "import keras_repro, sys; assert 'tensorflow' not in sys.modules; assert 'numpy' not in sys.modules"
    )
    result = alternate(
        "import keras_repro over bare Python",
        lambda: seconds("pass"),
        lambda: seconds(probe),
        pairs=options.pairs,
    )
    print_table([result])
    added = statistics.median(o - b for b, o in zip(result.base, result.other, strict=True))
    print(f"added: {added * 1e3:.1f} ms (bar: 100 ms)")


if __name__ == "__main__":
    main()
