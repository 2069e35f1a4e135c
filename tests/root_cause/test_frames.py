"""Names that hold tables of pandas, and near misses."""

from __future__ import annotations

from pathlib import Path

from keras_repro.root_cause.frames import frames
from keras_repro.source_code.dataflow import SourceModel

SCRIPT = """
import pandas as pd
table = pd.read_csv("a.csv")
self.rows = table[table.x > 0].dropna()
inputs = table.values
items = list(table.columns)
part = items[:3]
space = env.action_space
def few(rows: pd.DataFrame, column: "pd.Series", rng: Random):
    chosen: pandas.Series = rows.x
"""


def test_names_of_tables_are_found(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    assert frames(SourceModel({str(path)})) == {"table", "self.rows", "rows", "column", "chosen"}
