"""Lines of a script that draw randomness from the system, recorded in another process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os
import random
import secrets
import uuid

import numpy as np


def made(seed=None):
    return np.random.default_rng(seed)


made()  # none
made(7)
np.random.RandomState(7)
np.random.default_rng([1, 2])
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
    assert result.stdout.split("\n")[0] == f"{[inside, *lines[1:]]} 5"
