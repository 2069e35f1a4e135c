"""The surroundings that a child process is given, beside what it is to run.

>>> setting = ChildEnvironment(environment={"TZ": "UTC"}).changed({"TZ": None, "LC_ALL": "C"})
>>> dict(setting.environment)
{'LC_ALL': 'C'}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from keras_repro.processes.protocol import Plan


@dataclass(frozen=True, kw_only=True)
class ChildEnvironment:
    """The surroundings of one child.

    Attributes:
        environment: its whole environment.
        cwd: the folder that it works in, None for the caller's.
        script: the script's path there, None where it keeps the one that the task has.
        varied: what it changes itself before the script begins, as arguments of `training.varied.vary`.
    """

    environment: Mapping[str, str]
    cwd: Path | None = None
    script: str | None = None
    varied: Mapping[str, Any] = field(default_factory=dict)

    def changed(
        self, variables: Mapping[str, str | None], varied: Mapping[str, Any] | None = None
    ) -> ChildEnvironment:
        """The surroundings with other variables, those that are None taken away."""
        merged = {**self.environment, **variables}
        kept = {name: value for name, value in merged.items() if value is not None}
        return replace(self, environment=kept, varied={**self.varied, **(varied or {})})

    def plan(self, plan: Plan) -> Plan:
        """A plan as it is carried out here."""
        return replace(plan, script=self.script or plan.script, varied=self.varied)
