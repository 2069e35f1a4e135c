"""Which variables make a new run's settings those of a recorded one."""

from __future__ import annotations

import os

from keras_repro.determinism.portable_pins import portable_environment
from keras_repro.determinism.switches import pinned_environment
from keras_repro.provenance.environment import VARIABLES
from keras_repro.workflows.reproduce.run_spec import RunSpec

# What a machine sets for itself to compute soundly: another machine's choice may not run here.
_OWN = ("OPENBLAS_CORETYPE",)
_THREADS = {"intra_op_threads": "TF_NUM_INTRAOP_THREADS", "inter_op_threads": "TF_NUM_INTEROP_THREADS"}


def recorded_variables(recipe: RunSpec) -> dict[str, str | None]:
    """The variables that the new run gets, as they were in effect then; None where there was none."""
    pins: dict[str, str | None] = {
        n: recipe.variables.get(n)
        for n in VARIABLES
        if n not in _OWN and n not in recipe.withheld and (n in recipe.variables or n in os.environ)
    }
    for switch, variable in _THREADS.items():
        count = recipe.switches.get(switch)
        if variable not in recipe.variables and isinstance(count, int) and count > 0:
            pins[variable] = str(count)
    onednn = recipe.switches.get("onednn")
    if isinstance(onednn, bool) and "TF_ENABLE_ONEDNN_OPTS" not in recipe.variables:
        pins["TF_ENABLE_ONEDNN_OPTS"] = str(int(onednn))
    seed = recipe.switches.get("hash_seed")
    if isinstance(seed, int):
        pins["PYTHONHASHSEED"] = str(seed)
    return pins


def recorded_switches(recipe: RunSpec) -> dict[str, str]:
    """The switches that were pinned in an enforced run, for the new run's header."""
    switched = {} if recipe.seed is None else pinned_environment(recipe.seed)
    if recipe.seed is not None and recipe.portability is not None:
        switched = portable_environment(recipe.seed, threads=recipe.portability.threads, strict=False)
    return {n: v for n, v in recipe.variables.items() if n in switched}
