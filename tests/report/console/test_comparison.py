"""Comparisons on terminals of any width, without colour, and in a pipe."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

from keras_repro.comparison.compare import compare_all
from keras_repro.ledger.schema import Header, Record
from keras_repro.ledger.writer import LedgerWriter
from keras_repro.report.console.comparison import print_comparison
from keras_repro.report.console.terminal import make_console
from keras_repro.root_cause.explanation import Explanation

FRAMEWORKS = {"frameworks": {"tensorflow": "2.21.0", "keras": "3.15.1"}}


class Terminal(io.StringIO):
    """A file that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def make_run(
    folder: Path, *, epochs: int = 3, diverges_at: int | None = None, fits: int = 1, **metrics: Any
) -> Path:
    """Write a run; its weights differ from those of other runs since epoch `diverges_at`."""
    header = Header(coverage="smr", environment=FRAMEWORKS, created=folder.name)
    with LedgerWriter.create(folder, header) as ledger:
        for fit in range(fits):
            extra = {"arguments": {"epochs": epochs}}
            ledger.append(Record(kind="fit", fit=fit, sections={"fit": f"{fit:02x}"}, extra=extra))
            for epoch in range(epochs):
                differs = diverges_at is not None and epoch >= diverges_at
                digest = f"{epoch:04x}{'ff' if differs else '00'}"
                ledger.append(
                    Record(
                        kind="epoch",
                        fit=fit,
                        epoch=epoch,
                        sections={"weights": digest},
                        tensors={"weights": {"layers/0/kernel": digest}},
                        metrics={"loss": 1 / (epoch + 1), "accuracy": 0.5, **metrics},
                    )
                )
            ledger.append(Record(kind="end", fit=fit, extra={"status": "finished"}))
        ledger.append(Record(kind="exit", extra={"status": "finished"}))
    return folder


def printed(runs: list[Path], file: io.StringIO | None = None) -> str:
    file = file or io.StringIO()
    print_comparison(compare_all(runs, same_script=True), make_console(file))
    return file.getvalue()


def test_identical_runs_are_a_table_with_a_verdict(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name) for name in "abc"]
    out = printed(runs)
    lines = [line.rstrip() for line in out.splitlines()]
    assert lines[0] == "epoch      loss  accuracy  run 1    run 2    run 3"
    number, loss, accuracy, *digests = lines[2].split()
    assert (number, loss, accuracy) == ("2", "0.500000", "0.500000")
    assert len(set(digests)) == 1
    assert [len(d) for d in digests] == [7] * 3
    assert [line.split()[0] for line in lines[:4]] == ["epoch", "1", "2", "3"]
    assert lines[-1].startswith(
        "identical: 3 runs, bit for bit, TensorFlow 2.21.0, Keras 3.15.1, fingerprint kr1-smr-"
    )
    assert "\x1b" not in out


def test_diverged_runs_show_the_first_difference(tmp_path: Path) -> None:
    out = printed([make_run(tmp_path / "a"), make_run(tmp_path / "b", diverges_at=1)])
    rows = [line.split() for line in out.splitlines()]
    assert [row[-1] == row[-2] for row in rows[1:4]] == [True, False, False]
    assert out.splitlines()[-2:] == [
        "cause: unknown",
        "diverged: at epoch 2/3: weights differ, first in layers/0/kernel",
    ]


def test_run_compared_with_itself_is_named(tmp_path: Path) -> None:
    """Nothing was repeated, so the verdict claims nothing."""
    run = make_run(tmp_path / "a")
    note, _, verdict = printed([run, run]).splitlines()[-3:]
    assert note.endswith("are the same recorded run: nothing was repeated")
    assert verdict.startswith(
        "identical: one run compared with itself, TensorFlow 2.21.0, Keras 3.15.1, fingerprint"
    )


def test_table_fits_a_narrow_terminal_without_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    runs = [make_run(tmp_path / "a", val_loss=0.25), make_run(tmp_path / "b", diverges_at=1, val_loss=0.25)]
    runs += [make_run(tmp_path / "c", val_loss=0.25)]
    out = printed(runs, Terminal())
    # Bold is not a colour.
    assert not {code for code in ("\x1b[3", "\x1b[1;3", "\x1b[9") if code in out}
    out = out.replace("\x1b[1m", "").replace("\x1b[0m", "")
    table = out.splitlines()[:4]
    assert max(map(len, table)) <= 50
    # The most important columns remain.
    assert re.split(" {2,}", table[0].rstrip()) == ["epoch", "loss", "run 1", "run 2", "run 3"]
    assert "…" not in out
    assert out.splitlines()[-1] == "diverged: at epoch 2/3: weights differ, first in layers/0/kernel"


def test_metric_with_a_long_name_is_left_out(tmp_path: Path) -> None:
    """It is left out as a whole, and narrower metrics after it are shown."""
    long = {"a_metric_whose_name_takes_the_whole_width_of_a_page_and_more_than_anyone_would_read": 0.5}
    runs = [make_run(tmp_path / name, **long, auc=0.75) for name in "ab"]
    out = printed(runs)
    assert re.split(" {2,}", out.splitlines()[0].rstrip()) == [
        *("epoch", "loss", "accuracy", "auc", "run 1", "run 2"),
    ]
    assert max(map(len, out.splitlines()[:4])) <= 100


def test_colour_marks_differences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = printed([make_run(tmp_path / "a"), make_run(tmp_path / "b", diverges_at=2)], Terminal())
    assert ["\x1b[1;31m" in line for line in out.splitlines()[1:4]] == [False, False, True]


def test_many_epochs_are_reduced_to_the_relevant_ones(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "a", epochs=300), make_run(tmp_path / "b", epochs=300, diverges_at=150)]
    rows = [line.split()[0] for line in printed(runs).split("distance")[0].splitlines()[1:]]
    numbers = [int(row) for row in rows if row != "..."]
    assert numbers == [*range(1, 9), *range(147, 156), *range(293, 301)]
    assert rows.count("...") == 2


def test_epochs_of_several_fits_have_the_number_of_the_fit(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, epochs=2, fits=2) for name in "ab"]
    rows = [
        line.split("  ")[0].strip() or line.strip().split("  ")[0] for line in printed(runs).splitlines()[1:5]
    ]
    assert [row.split("  ")[0] for row in rows] == ["fit 1: 1", "fit 1: 2", "fit 2: 1", "fit 2: 2"]


def test_run_that_ended_early_has_no_later_digests(tmp_path: Path) -> None:
    out = printed([make_run(tmp_path / "a", epochs=3), make_run(tmp_path / "b", epochs=2)])
    assert out.splitlines()[3].split()[-1] == "-"
    assert out.splitlines()[-1].startswith("diverged: the same until epoch 2")


def test_values_that_are_not_plain_numbers_are_printed(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, precision="nan", matrix=[[1.0, 2.0], [3.0, 4.0]]) for name in "ab"]
    first = printed(runs).splitlines()[1].split("  ")
    assert "nan" in [cell.strip() for cell in first]


def test_unknown_cause_is_followed_by_what_finds_it(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "a"), make_run(tmp_path / "b", diverges_at=1)]
    file = io.StringIO()
    print_comparison(compare_all(runs, same_script=True), make_console(file), how_to_explain="--explain")
    assert "cause: unknown (--explain)" in file.getvalue().splitlines()


def test_explanation_comes_last_and_names_the_cause_once(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "a"), make_run(tmp_path / "b", diverges_at=1)]
    file = io.StringIO()
    explanation = Explanation(cause="operation", sentence="an operation does not repeat itself")
    print_comparison(compare_all(runs, same_script=True), make_console(file), explanation)
    lines = file.getvalue().splitlines()
    assert [line.partition(":")[0] for line in lines[-6:]] == [
        "diverged", "where", "what", "cause", "line", "fix",
    ]  # fmt: skip
    assert sum("cause:" in line for line in lines) == 1
