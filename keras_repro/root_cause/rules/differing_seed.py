"""Seeds that a script sets, and that are other ones in each run."""

from __future__ import annotations

from keras_repro.root_cause.diagnosis_case import DiagnosisCase
from keras_repro.root_cause.root_line import find_root_line
from keras_repro.root_cause.suspects import Suspect
from keras_repro.source_code.nondeterminism import sets_seed
from keras_repro.utils.source_line import SourceLine

SENTENCE = "the seeds that were set differ"


def line_of_differing_seed(case: DiagnosisCase) -> SourceLine | None:
    """Return the line from which a seed of Python's generator came that differs between the runs.

    Keras draws the seeds of initializers and layers from that generator.
    """
    setting = (s for s in case.suspects if "random" in s.names and sets_seed(s.source.code))
    first = next(setting, None)
    return None if first is None else origin_of(case, first)


def origin_of(case: DiagnosisCase, suspect: Suspect) -> SourceLine:
    """Return the line from which the values of a suspect came, of those that differed by then."""
    by_then = [s for s in case.suspects if s.count <= suspect.count]
    root = find_root_line(by_then, [suspect.source], files=case.files, strict=True, seeded=case.seeded)
    return suspect.source if root is None else root.source
