"""Measure time, memory and page size of `keras-repro compare --html` on two long ledgers with sketches.

    python benchmarks/page_speed.py [--runs 5]

Pairs of 100 layers x 300 epochs and of 1,000 epochs x 200 tensors; a fresh process each time, without
TensorFlow. Bars: 5 s for the longer pair, 2 MB per page. If Debian's chromium and chromium-driver are
installed, also the time from the start of loading until a key press has moved over the cells (bar: 1 s).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_repro.ledger.schema import Header, Record
from keras_repro.ledger.writer import LedgerWriter
from keras_repro.storage.digest import array_digest, section_digest
from keras_repro.storage.run_folder import SKETCHES_NAME
from keras_repro.storage.sketch_file import SketchedTensor, SketchWriter


@dataclass(frozen=True)
class Shape:
    """The size of a training."""

    epochs: int
    layers: int
    tensors: int  # per layer

    def __str__(self) -> str:
        return f"{self.layers} layers, {self.layers * self.tensors} tensors, {self.epochs} epochs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    columns = ("compare", "with --html", "slowest", "memory", "page", "opened")
    print(f"{'two runs that diverge in the middle':<38}" + "".join(f"{c:>13}" for c in columns))
    for shape in (Shape(300, 100, 2), Shape(1000, 100, 2), Shape(1000, 200, 1)):
        with tempfile.TemporaryDirectory() as folder:
            runs = [Path(folder, name) for name in ("a", "b")]
            for run in runs:
                _write(run, shape)
            page = Path(folder, "out.html")
            plain = statistics.median(_compare(runs)[0] for _ in range(options.runs))
            measured = [_compare(runs, "--html", str(page)) for _ in range(options.runs)]
            seconds = [s for s, _ in measured]
            opened = _opened(page)
            row = (
                f"{plain:.2f} s",
                f"{statistics.median(seconds):.2f} s",
                f"{max(seconds):.2f} s",
                f"{max(m for _, m in measured):.0f} MB",
                f"{page.stat().st_size / 1e6:.2f} MB",
                "no chromium" if opened is None else f"{opened:.2f} s",
            )
            print(f"{shape!s:<38}" + "".join(f"{cell:>13}" for cell in row), flush=True)


def _write(run: Path, shape: Shape) -> None:
    names = [
        f"layers/{i}/{'kernel' if j else 'bias'}" for i in range(shape.layers) for j in range(shape.tensors)
    ]
    shapes = {
        n: ["float32", [64, 64], f"sequential/dense_{n.split('/')[1]}/{n.split('/')[2]}"] for n in names
    }
    sketched = [SketchedTensor(n, "float32", (64, 64)) for n in names]
    random = np.random.Generator(np.random.PCG64(0))
    base = random.normal(size=(len(names), 1, 32))
    base[:, 0, 0] = 1.0  # the norm
    with (
        LedgerWriter.create(run, Header(coverage="sm")) as ledger,
        SketchWriter(run / SKETCHES_NAME) as sketches,
    ):
        ledger.append(Record(kind="fit", fit=0, sections={"fit": array_digest("fit", 0)}))
        for epoch in range(-1, shape.epochs):
            since = epoch - shape.epochs // 2 if run.name == "b" else -1
            what = f"{run.name} {epoch}" if since >= 0 else str(epoch)
            digests = {n: array_digest(n, what) for n in names}
            record = Record(
                kind="start" if epoch < 0 else "epoch",
                fit=0,
                epoch=epoch if epoch >= 0 else None,
                sections={"weights": section_digest(digests)},
                tensors={"weights": digests},
                metrics={"loss": 1 / (epoch + 1), "accuracy": 0.5} if epoch >= 0 else {},
                shapes=shapes if epoch < 0 else {},
            )
            ledger.append(record)
            apart = 1e-8 * 10 ** (8 * since / shape.epochs) if since >= 0 else 0.0
            rows = base + apart * random.normal(size=base.shape)
            rows[:, 0, 0] = 1.0
            sketches.append(
                record.position, record.sections["weights"], list(zip(sketched, rows, strict=True))
            )
        ledger.append(Record(kind="end", fit=0, extra={"status": "finished"}))


def _compare(runs: list[Path], *options: str) -> tuple[float, float]:
    code = (
        "import sys, resource, keras_repro.cli.main as c; code = c.main(sys.argv[1:]); "
        "assert 'tensorflow' not in sys.modules; "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr); sys.exit(code)"
    )
    began = time.perf_counter()
    command = [sys.executable, "-c", code, "compare", *map(str, runs), *options]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1, done.stderr
    return time.perf_counter() - began, float(done.stderr.split()[-1])


def _opened(page: Path) -> float | None:
    """Return the seconds from the start of loading until a key press has moved and is painted."""
    places = shutil.which("chromium"), shutil.which("chromedriver")
    if None in places:
        return None
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(places[0])
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    with webdriver.Chrome(options=options, service=Service(str(places[1]))) as browser:
        measured = []
        for _ in range(5):
            browser.get(page.as_uri())
            moved = browser.execute_async_script(
                "const done = arguments[0];"
                "const cell = document.querySelector('.cell');"
                "cell.focus();"
                "cell.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}));"
                "requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())));"
            )
            measured.append(moved / 1000)
        return statistics.median(measured)


if __name__ == "__main__":
    os.environ.setdefault("SE_OFFLINE", "true")
    main()
