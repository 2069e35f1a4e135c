"""Lines of a script that draw randomness from the system, recorded in another process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import copy
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
np.random.SeedSequence()  # sequence
np.random.Generator(np.random.PCG64())  # bits
np.random.SeedSequence(7)
np.random.PCG64(seed=7)
copy.deepcopy(np.random.default_rng(7))
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


# Code below a folder of packages is a library's.
SAMPLERS = """
import numpy as np

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
"""
LIBRARY = """
from samplers import Sampler, Study
from scipy.stats import qmc

qmc.LatinHypercube(d=2)  # made
qmc.LatinHypercube(d=2, seed=3)
study = Study()  # study

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
sys.path.insert(0, sys.argv[2])
runpy.run_path(sys.argv[1])
for event in events:
    lines = [line and line.code.rpartition("# ")[2] for line in (event.source, event.made)]
    print(*lines, event.call, event.argument)
"""


def test_library_objects_are_reported_with_their_argument_for_a_seed(tmp_path: Path) -> None:
    script, packages = tmp_path / "script.py", tmp_path / "site-packages"
    script.write_text(LIBRARY)
    packages.mkdir()
    (packages / "samplers.py").write_text(SAMPLERS)
    result = subprocess.run(
        [sys.executable, "-c", REPORTED, str(script), str(packages)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines() == [
        "made None LatinHypercube rng=42",
        "drawn study Study sampler=Sampler(seed=42)",
    ]


# A library with a generator for all its objects, without a seed.
NAMES = """
import random

_generator = random.Random()

class Names:
    @classmethod
    def seed(cls, seed):
        _generator.seed(seed)
    def first(self):
        return _generator.choice("abc")

def draw():
    return _generator.random()
"""
DRAWS = """
import names
from names import Names

made_up = Names()  # made
x = [made_up.first() for _ in range(3)]  # drawn
x = [made_up.first() for _ in range(3)]  # drawn again

def twice(value):  # defined
    return 2 * value

twice(names.draw())  # drawn in an argument
Names.seed(3)  # seeded
made_up.first()  # drawn with a seed
"""
TRACED = """
import runpy, sys
from keras_repro.training.probes.entropy_calls import EntropyCalls
from keras_repro.training.probes.line_tracer import LineTracer
events = []
entropy, lines = EntropyCalls(events.append), LineTracer()
entropy.watch()
lines.after_line = entropy.note_draws
sys.path.insert(0, sys.argv[2])
lines.start()
runpy.run_path(sys.argv[1])
lines.stop()
for event in events:
    print(event.source.code.rpartition("# ")[2], event.made, event.seeding)
"""


def test_draws_from_the_generator_of_a_library_are_reported_until_it_has_a_seed(tmp_path: Path) -> None:
    script, packages = tmp_path / "script.py", tmp_path / "site-packages"
    script.write_text(DRAWS)
    packages.mkdir()
    (packages / "names.py").write_text(NAMES)
    result = subprocess.run(
        [sys.executable, "-c", TRACED, str(script), str(packages)], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines() == [
        "drawn None Names.seed(42)",
        "drawn again None Names.seed(42)",
        "drawn in an argument None ",
    ]
