"""A variation that had no effect on this machine never counts as repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ledger_builders as builders
import pytest

from keras_repro.processes.child import Outcome
from keras_repro.workflows.vary.catalogue import CATALOGUE
from keras_repro.workflows.vary.changes import Change
from keras_repro.workflows.vary.results import VariationOutcome
from keras_repro.workflows.vary.varied_run import VariedRun, judge_run

UNREAD = "it is not known whether it took effect here: the value in effect could not be read"
SAME = "the script sets it itself, or something overrides it: it is as in the baseline"
SWITCHES = {
    "hash-seed": ("hash_seed", 1, 2),
    "intra-threads": ("intra_op_threads", 2, 1),
    "inter-threads": ("inter_op_threads", 2, 1),
    "onednn": ("onednn", True, False),
    "instruction-set": ("onednn_isa", "the CPU's", "AVX2"),
    "xla": ("xla_auto_jit", False, True),
    "op-determinism": ("op_determinism", False, True),
}


@pytest.fixture
def judged(tmp_path: Path) -> Any:
    """Return the result of a run that equals its baseline, given the switch's value in effect in both."""

    def judge(name: str, switch: str, before: Any, now: Any) -> VariationOutcome:
        for folder, achieved in (("baseline", before), ("varied", now)):
            header = {"coverage": "smr", "switches": ({"name": switch, "achieved": achieved},)}
            builders.write(tmp_path / folder, [*builders.training(), builders.exit_record()], **header)
        run = VariedRun(
            name=name,
            change=Change(text="changed"),
            variation=next(v for v in CATALOGUE if v.name == name),
            folder=tmp_path / "varied",
        )
        return judge_run(run, Outcome(code=0, seconds=1.0), tmp_path / "baseline" / "ledger.jsonl")

    return judge


@pytest.mark.parametrize("name", SWITCHES)
def test_only_a_proven_effect_counts_as_repeated(judged: Any, name: str) -> None:
    switch, before, now = SWITCHES[name]
    assert judged(name, switch, before, now).verdict == "repeats"
    for values, reason in (
        ((before, before), SAME),
        ((before, None), UNREAD),
        ((None, now), UNREAD),
        ((None, None), UNREAD),
    ):
        result = judged(name, switch, *values)
        assert (result.verdict, result.reason) == ("not tried", reason), values
