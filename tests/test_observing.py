"""Observing changes nothing: the same script trains to the same bytes alone and under `keras-repro`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from conftest import SCRIPTS


def test_final_weights_and_reads_are_equal_bare_and_observed(process: Any, here: Path) -> None:
    script = SCRIPTS / "observed.py"
    bare = process(script, "bare", PYTHONHASHSEED="5")
    verify = ["-m", "keras_repro.cli", "verify", "--runs", "2", "--keep-hash-seed"]
    observed = process(*verify, script, "observed", PYTHONHASHSEED="5")
    other = process(script, "other", PYTHONHASHSEED="6")
    for started in (bare, observed, other):
        out, err = started.communicate()
        assert started.returncode == 0, out + err
    (alone,), (with_other_hashes,) = (sorted(here.glob(f"{name}-*.bytes")) for name in ("bare", "other"))
    children = sorted(here.glob("observed-*.bytes"))
    assert len(children) == 2
    assert [c.read_bytes() == alone.read_bytes() for c in children] == [True, True]
    # The weights depend on what an observer could change.
    assert with_other_hashes.read_bytes() != alone.read_bytes()
    assert alone.stat().st_size > 1000
    # Data is read as often as without us: what is not in memory may be other data the next time.
    reads = json.loads(next(here.glob("bare-*.json")).read_text())
    assert {"x", "y", "validation", "listed", "weight", "evaluated", "predicted", "file"} <= set(reads)
    assert (reads["x"], reads["PyDataset"] >= 3, reads["tf.data, rows"] >= 24) == (1, True, True)
    assert [json.loads(path.read_text()) for path in here.glob("observed-*.json")] == [reads, reads]


IN_ANY_RUN = (
    "look_at_functions",
    "look_at_functions_in_c",
    "look_at_identity",
    "pass_methods_on",
    "use_in_graph",
)
IN_RECORDED_RUNS = ("call_wrongly", "fail", "step_through", "predict_in_pool")
LOG_LINE = re.compile(r"(?m)^([IWE]0000|WARNING: All log messages).*\n")


def _printed_by_check(text: str) -> dict[str, str]:
    return dict(part.split("\n", 1) for part in LOG_LINE.sub("", text).split("== ")[1:])


def test_script_that_looks_closely_finds_nothing(process: Any, launched: Any, here: Path) -> None:
    checks = (*IN_RECORDED_RUNS, *IN_ANY_RUN)
    script = SCRIPTS / "looks_closely.py"
    bare = process(script, *checks)
    run = ("-m", "keras_repro", "run", "--run-dir", here / "recorded", script, *checks)
    observed = process(*run)
    diagnosed = launched("looks_closely.py", *IN_ANY_RUN, probe={}, every="epoch")
    printed, err = bare.communicate()
    assert bare.returncode == 0, err
    out, err = observed.communicate()
    assert observed.returncode == 0, err
    assert "AutoGraph" not in err
    text, _, last = out.rstrip("\n").rpartition("\n")
    assert last.startswith("recorded in ")
    expected = _printed_by_check(printed)
    assert _printed_by_check(text + "\n") == expected
    assert tuple(expected) == checks
    assert "(Pdb)" in expected["step_through"]
    assert "my training step" in expected["fail"]
    assert diagnosed.outcome.code == 0, diagnosed.output
    assert _printed_by_check(diagnosed.output) == {name: expected[name] for name in IN_ANY_RUN}


def test_no_framework_is_loaded_before_the_script_loads_it(process: Any, written: Any, here: Path) -> None:
    written("import os, sys\nprint(*sys.modules, sep='\\n', flush=True)\nos._exit(0)\n")
    verify = process("-m", "keras_repro.cli", "verify", "script.py")
    _, err = verify.communicate()
    assert verify.returncode == 2, err
    (output,) = here.glob(".keras_repro/script-1/run-*/output.txt")
    loaded = {name.partition(".")[0] for name in output.read_text().split()}
    assert "keras_repro" in loaded
    assert not loaded & {"tensorflow", "keras", "numpy", "rich", "h5py", "scipy", "pandas", "wrapt"}


def test_commands_that_only_read_load_no_tensorflow(process: Any, here: Path) -> None:
    lines = (
        "import sys\nfrom keras_repro.cli.main import main\n"
        "from keras_repro.ledger.writer import LedgerWriter\n"
        "from keras_repro.ledger.schema import Header, Record\n"
        "for name in ('a', 'b'):\n"
        "    with LedgerWriter.create(name, Header(coverage='smr')) as ledger:\n"
        "        ledger.append(Record(kind='start', fit=0, sections={'weights': '00'}))\n"
        "        ledger.append(Record(kind='exit', extra={'status': 'finished'}))\n"
        "code = main(['compare', 'a', 'b', '--json', 'out.json'])\n"
        "print(code, sorted({'tensorflow', 'keras'} & set(sys.modules)))\n"
    )
    compare = process("-c", lines)
    out, err = compare.communicate()
    assert out.splitlines()[-1] == "0 []", out + err
    assert out.splitlines()[-2].startswith("identical: one run compared with itself, fingerprint kr1-smr-")


def test_importing_the_package_loads_no_framework(process: Any) -> None:
    lines = "import sys\nimport keras_repro\nprint(sorted({n.partition('.')[0] for n in sys.modules}))"
    out, _ = process("-c", lines).communicate()
    assert "'keras_repro'" in out
    assert not {"tensorflow", "keras", "numpy", "rich", "wrapt", "blake3"} & set(out.split("'"))
