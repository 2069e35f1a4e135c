"""The report of a diagnosing process: read back complete, and with the differences between two intervals."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from keras_repro.storage.divergence_report import (
    Difference,
    DivergenceReport,
    LayerDescription,
    OperationReport,
    ReplayReport,
    StateEvidence,
    TapDistance,
    TappedReport,
    TapReport,
    context_differences,
    differences_of,
)
from keras_repro.storage.trace_file import (
    ContextEvent,
    LineEvent,
    RecordEvent,
    StepEndEvent,
    StepPosition,
    WeightsEvent,
)
from keras_repro.utils.json_record import JsonRecord
from keras_repro.utils.source_line import SourceLine

SOURCE = SourceLine(file="train.py", line=3, code="x = 1")
LAYER = LayerDescription(name="layers/1", layer_class="Dropout", source=SOURCE, is_inner=True)
TAP = TapReport(
    kind="output",
    name="layers/1",
    layer_class="Dropout",
    number=0,
    digests=("aa", "bb", None),
    dtype="float32",
    distance=TapDistance(elements=1, of=2, largest=0.5, ulps=None),
    source=SOURCE,
)
OPERATION = OperationReport(type="EagerPyFunc", name="f", layer="layers/1", source=SOURCE, seeded=False)
REPLAY = ReplayReport(
    faithful=True,
    agrees=False,
    agrees_drawing_on=True,
    differing=(("weights", "kernel"),),
    tapped=TappedReport(level="all", faithful=False, taps=(TAP,), operations=(OPERATION,)),
    fewer_taps="out of memory",
)
EVIDENCE = StateEvidence(
    owners={"layers/1/kernel": LAYER},
    layers={"layers/1": LAYER},
    remaining_rows=(("a", "b"), ()),
    draws_data=True,
    stepping_threads=2,
    replay=REPLAY,
)
LINE = LineEvent(file="train.py", line=3, digests={"x": "aa"}, runs=((1, "aa"),))
WEIGHTS = WeightsEvent(method="predict", digest="aa")
END = StepEndEvent(position=StepPosition(0, 1, 2), tensors={"weights": {"kernel": "ab"}})
EVENT_OF_BOTH: Difference[ContextEvent] = Difference(interval=2, event=LINE, reference=LINE)
EVENT_OF_ONE: Difference[ContextEvent] = Difference(interval=1, event=None, reference=WEIGHTS)
REPORT = DivergenceReport(
    interval=2,
    event=END,
    reference=RecordEvent(position="exit", record_kind="exit", tensors={}),
    diverged=True,
    differences=(EVENT_OF_BOTH, EVENT_OF_ONE),
    threads=(SOURCE,),
    evidence=EVIDENCE,
)


@pytest.mark.parametrize(
    "record",
    [
        REPORT,
        DivergenceReport(interval=0, event=END, diverged=False),
        EVIDENCE,
        StateEvidence(error="ValueError: no"),
        REPLAY,
        TappedReport(error="ValueError: no"),
        TAP,
        TAP.distance,
        OPERATION,
        LAYER,
        EVENT_OF_BOTH,
        EVENT_OF_ONE,
    ],
    ids=lambda record: type(record).__name__,
)
def test_record_is_read_back(record: JsonRecord) -> None:
    for text in (json.dumps(record.to_dict()), record.to_json()):
        restored = type(record).from_dict(json.loads(text))
        assert restored == record
        assert restored.to_dict() == record.to_dict()  # also fields that equality ignores


def test_differences_are_matched_by_key_in_order() -> None:
    first, second = (replace(LINE, digests={"x": digest}) for digest in ("aa", "bb"))
    other = replace(LINE, line=4)
    assert context_differences(0, [first, second], [first, second]) == []
    assert context_differences(7, [first, second, WEIGHTS], [first, first, other]) == [
        Difference(interval=7, event=second, reference=first),
        Difference(interval=7, event=WEIGHTS, reference=None),
        Difference(interval=7, event=None, reference=other),
    ]


def test_differences_are_selected_by_kind() -> None:
    assert differences_of(REPORT.differences, WeightsEvent) == [EVENT_OF_ONE]
    assert differences_of(REPORT.differences, LineEvent)[0].either == LINE
