"""Some rules of a diagnosis, on evidence made by hand: what they say where it is there, and where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keras_repro.root_cause.explanation import Explanation
from keras_repro.root_cause.rules.engine import Evidence, explain
from keras_repro.storage.trace_file import Event, Interval


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "train.py"
    path.write_text("seed = secrets.randbelow(9)\nlayer = Noise(seed)\nmodel.evaluate(x)\nthread.start()\n")
    return str(path)


def source(script: str, line: int) -> dict[str, Any]:
    return {"file": script, "line": line, "code": Path(script).read_text().splitlines()[line - 1]}


def said(event: dict[str, Any], other: dict[str, Any], *differences: Any, **parting: Any) -> Explanation:
    hard = Event(kind=other["kind"], key=other["key"], value=other["value"], info=other["info"])
    trace = [Interval(soft=(), hard=hard)]
    found = {"event": event, "other": other, "number": 0, "differences": list(differences), **parting}
    return explain(Evidence(first=trace, second=trace, parting=found))


def evaluation(loss: str) -> dict[str, Any]:
    return {
        "kind": "record",
        "key": "evaluation 0",
        "value": {"metrics": {"loss": loss}},
        "info": {"kind": "evaluation"},
    }


def difference(kind: str, key: str, info: dict[str, Any], **more: Any) -> dict[str, Any]:
    mine, other = ({"value": v, "info": info} for v in ("a", "b"))
    return {"interval": 0, "kind": kind, "key": key, "mine": mine, "other": other} | more


def test_an_evaluation_that_draws_from_another_seed(script: str) -> None:
    info = {"source": source(script, 2), "layer": "Noise", "seed": True}
    found = said(evaluation("a"), evaluation("b"), difference("birth", "noise/seed_generator_state", info))
    assert (found.cause, found.layer_class) == ("random_state", "Noise")
    assert found.source is not None
    assert found.source["line"] == 2
    plain = said(evaluation("a"), evaluation("b"))
    assert plain.cause == "operation"


def test_weights_that_were_changed_before_an_evaluation() -> None:
    found = said(evaluation("a"), evaluation("b"), difference("weights", "evaluate", {}))
    assert found.cause == "configuration"
    assert found.sentence == "weights were changed outside of the training, before the evaluation"


def test_threads_that_train_together(script: str) -> None:
    ends: list[dict[str, Any]] = [
        {"kind": "end", "key": "-1 0 3", "value": {"weights": {"k": v}}, "info": {}} for v in ("a", "b")
    ]
    parts = {"mine": {"value": {"0": "a"}, "info": {}}, "other": {"value": {"0": "b"}, "info": {}}}
    batch = difference("batch", "-1 0 3", {}, **parts)
    threads = {"threads": [source(script, 4)]}
    found = said(*ends, batch, stepping_threads=2, **threads)
    assert (found.cause, found.sentence) == (
        "environment",
        "2 threads train the same weights, in the order in which they come by",
    )
    assert found.source is not None
    assert found.source["code"] == "thread.start()"
    assert found.ruled_out == ()
    assert said(*ends, batch, **threads).cause == "data_values"


@pytest.mark.parametrize(
    ("text", "told"), [("x = clock()\n", False), ("x = {a for a in b}\n", True), ("x = hash(a)\n", True)]
)
def test_the_hash_seed_is_thought_of_only_where_something_goes_by_hashes(
    tmp_path: Path, text: str, told: bool
) -> None:
    path = tmp_path / "train.py"
    path.write_text(text)
    ends = [{"kind": "end", "key": "0 0 1", "value": {"weights": {"k": v}}, "info": {}} for v in ("a", "b")]
    info = {"file": str(path), "line": 1, "seen": [[1, "a"]]}
    line = Event(kind="line", key=f"{path}:1", value={"x": "a"}, info=info)
    hard = Event(kind="end", key="0 0 1", value=ends[1]["value"], info={})
    trace = [Interval(soft=(line,), hard=hard)]
    mine, other = ({"value": {"x": v}, "info": info | {"seen": [[1, v]]}} for v in ("a", "b"))
    differing = difference("line", line.key, info, mine=mine, other=other)
    parting = {"event": ends[0], "other": ends[1], "number": 0, "differences": [differing], "replay": {}}
    found = explain(
        Evidence(
            first=trace,
            second=trace,
            parting=parting,
            second_try={"parted": False, "number": 0, "differences": []},
            hash_seeds_differ=True,
        )
    )
    same = "a further run, with the hash seed of the first, did the same as the first"
    assert (same in found.evidence) is told
