"""The line that chose the data to which a layer was adapted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from keras_repro.root_cause.diagnosis_case import DiagnosisCase
from keras_repro.root_cause.evidence import Evidence
from keras_repro.root_cause.rules.adapted_layers import line_of_adapted_data
from keras_repro.storage.divergence_report import DivergenceReport
from keras_repro.storage.trace_file import ConstructionEvent, Interval, LineEvent, RecordEvent
from keras_repro.utils.source_line import SourceLine

SCRIPT = """
    stream = Dataset.from_tensor_slices(x)
    other = stream.shuffle(9)
    part = stream.shuffle(5).take(3)
    scale = Normalization()
    scale.adapt(part)
    z = scale(x)
    model.fit(z)
"""


@pytest.fixture
def case(script: Callable[[str], Path]) -> DiagnosisCase:
    file = str(script(SCRIPT))

    def at(line: int) -> SourceLine:
        return SourceLine(file=file, line=line, code="")

    events = [LineEvent(file=file, line=n, digests={"x": "a"}, runs=((n, "a"),)) for n in range(1, 8)]
    made = [
        ConstructionEvent(what="random operation", source=at(2), risks=("no seed",)),
        ConstructionEvent(what="random operation", source=at(3), risks=("no seed",)),
        ConstructionEvent(what="adapt Normalization", source=at(5)),
    ]
    checked = RecordEvent(position="start 0", record_kind="start", tensors={})
    trace = [Interval(context=(*events, *made), checked=checked)]
    report = DivergenceReport(interval=0, event=checked, reference=checked)
    return DiagnosisCase(Evidence(first=trace, second=trace, report=report))


def test_stage_that_chose_the_data_is_found_by_the_layer(case: DiagnosisCase) -> None:
    line = line_of_adapted_data(case, layer_class="Normalization")
    assert line is not None
    assert line.line == 3
    assert line_of_adapted_data(case, layer_class="TextVectorization") is None


def test_stage_is_found_by_a_line_that_uses_the_layer(case: DiagnosisCase) -> None:
    (file,) = case.files
    line = line_of_adapted_data(case, user=SourceLine(file=file, line=6))
    assert line is not None
    assert line.line == 3
    assert line_of_adapted_data(case, user=SourceLine(file=file, line=1)) is None
