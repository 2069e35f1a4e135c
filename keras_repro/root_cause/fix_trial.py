"""The result of trying a fix: whether runs with it agree, and whether it takes randomness away.

>>> FixTrial(result="verified", reason="two runs with it agree", trainings=2).in_words
'verified: two runs with it agree'
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FixTrial:
    """The result of a trial.

    Attributes:
        result: `"verified"`; `"not seen again"`, for a race; `"still diverges"`; `"refused"`, since it takes
            randomness away; `"failed"`, if the script does not run with it; `"not applicable"`, if the fix is
            no code; `"not tried"`.
        reason: why, in words.
        trainings: number of trainings of the trial.
    """

    result: str
    reason: str
    trainings: int = 0

    @property
    def in_words(self) -> str:
        """The result and its reason in one line."""
        return f"{self.result}: {self.reason}"
