"""Lines of a script that draw randomness from the system, recorded in another process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os
import random
import secrets
import tempfile
import uuid

import numpy as np


def made(seed=None):
    return np.random.default_rng(seed)


made()  # none
made(7)
np.random.RandomState(7)
np.random.default_rng([1, 2])
random.Random(7)
np.random.RandomState()  # state
random.Random()  # python
tempfile.mkdtemp()
random.SystemRandom().random()  # system
secrets.token_hex(4)  # token
uuid.uuid4()  # uuid
os.urandom(2)  # urandom
random.random()
np.random.normal()
"""
CHILD = """
import runpy, sys
from keras_repro.training.probes.entropy_calls import EntropyCalls
events = []
EntropyCalls(events.append).watch()
runpy.run_path(sys.argv[1])
print([e.source.line for e in events], len({e.digest for e in events}))
"""


def test_lines_that_draw_entropy_are_reported_and_seeded_lines_are_not(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    result = subprocess.run(
        [sys.executable, "-c", CHILD, str(script)], capture_output=True, text=True, check=True
    )
    lines = [n for n, text in enumerate(SCRIPT.splitlines(), start=1) if "#" in text]
    inside = 1 + SCRIPT.splitlines().index("    return np.random.default_rng(seed)")
    assert result.stdout.split("\n")[0] == f"{[inside, *lines[1:]]} {len(lines)}"


# Code with no file of its own counts as a library.
LIBRARY = """
import numpy as np
from scipy.stats import qmc

LAZY = '''
class Sampler:
    def __init__(self, seed=None):
        self.seed = seed
    def draw(self):
        return np.random.RandomState(self.seed).rand()
class Study:
    def __init__(self, sampler=None):
        self.sampler = sampler or Sampler()
    def optimize(self, objective):
        return objective(self.sampler)
'''
exec(compile(LAZY, "<library>", "exec"))
qmc.LatinHypercube(d=2)  # made
qmc.LatinHypercube(d=2, seed=3)
study = Study()

def objective(trial):
    return trial.draw()  # drawn

study.optimize(objective)
Study(Sampler(3)).optimize(objective)
"""
REPORTED = """
import runpy, sys
from keras_repro.training.probes.entropy_calls import EntropyCalls
events = []
EntropyCalls(events.append).watch()
runpy.run_path(sys.argv[1])
for event in events:
    print(event.source.code.rpartition("# ")[2], event.call, event.parameter, event.holder)
"""


def test_library_objects_are_reported_with_their_parameter_for_a_seed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(LIBRARY)
    result = subprocess.run(
        [sys.executable, "-c", REPORTED, str(script)], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines() == ["made LatinHypercube rng ", "drawn Sampler seed study"]
