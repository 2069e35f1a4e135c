"""The notebook runs from top to bottom, and its output agrees with its text."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "quickstart.ipynb"


def test_quickstart_runs_and_agrees_with_its_text(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources=resources).execute()
    outputs = [_text(cell) for cell in notebook.cells if cell.cell_type == "code"]
    fingerprint, again, check, other, callback = outputs[1:]
    assert fingerprint.startswith("'kr1-smo-")
    assert again == (
        "<Comparison identical: training; what was computed outside fit was not recorded; "
        f"fingerprint {fingerprint.strip(chr(39))}>"
    )
    assert check.startswith("<Comparison identical: training;")
    assert "before the first epoch: initial weights differ, first in layers/0/kernel" in other
    assert other.endswith("('initial_weights', 'layers/0/kernel')")
    assert callback.startswith("'kr1-sm-")


def _text(cell):
    texts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs]
    return "".join(texts).strip()
