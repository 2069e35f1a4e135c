"""A child imports nothing of the user's before the script, which then imports the same as without us."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# Modules that this package or one of its libraries imports, and two that only a script does.
_MODULES = """\
__future__ argparse contextlib dataclasses email inspect json pathlib profile queue random rich signal
statistics subprocess threading tokenize traceback typing xxhash
"""
# Those of PYTHONPATH are also found by what Python itself runs at its start.
REPLACED = {
    "work": _MODULES.split(),
    "work/sub": _MODULES.split(),
    "paths": ["queue", "random", "signal", "statistics", "subprocess", "tokenize", "xxhash"],
}
SCRIPT = """\
import os, sys
started = os.path.exists(os.environ["LOADED"])
import profile, queue, tokenize
print(__name__, __file__, sys.argv, sys.flags, started)
print(sys.path)
print([module.__file__ for module in (profile, queue, tokenize)], flush=True)
os._exit(3)
"""
# Started with options of its own, which its children get too.
PARENT = f"""\
import os, sys
sys.path.insert(0, {str(REPOSITORY)!r})
from keras_repro.utils.import_order import own_modules_first
own_modules_first()
from pathlib import Path
from keras_repro.processes.child import LAUNCHER
from keras_repro.processes.task import Task
plan = Task(script="sub/train.py", arguments=("x",)).plan(Path("."), redirect=True)
sys.exit(LAUNCHER.start(plan, environment=os.environ, keep_output=False).wait().code)
"""


@pytest.fixture
def run(here: Path) -> Callable[..., str]:
    """Run Python in a folder full of modules that replace others; return what the script prints."""
    for folder, names in REPLACED.items():
        (here / folder).mkdir()
        for name in names:
            line = f'open(os.environ["LOADED"], "a").write({f"{folder}/{name} "!r})\n'
            (here / folder / f"{name}.py").write_text(f"import os\n{line}")
    for name in ("sub/train.py", "train.py"):
        (here / "work" / name).write_text(SCRIPT)
    (here / "parent.py").write_text(PARENT)

    def run_python(*arguments: str, **variables: str) -> str:
        (here / "loaded.txt").unlink(missing_ok=True)
        own = {"LOADED": str(here / "loaded.txt"), "PYTHONPATH": f"{here / 'paths'}:{REPOSITORY}"}
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=here / "work",
            env=os.environ | own | variables,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        return ended.stdout + str(ended.returncode)

    return run_python


COMMAND = ("-m", "keras_repro", "run", "--run-dir", "out")


@pytest.mark.parametrize(
    ("variables", "script"),
    [
        ({}, ("sub/train.py", "x")),
        ({"PYTHONSAFEPATH": "1"}, ("sub/train.py", "x")),
        ({}, ("-m", "train", "x")),
    ],
)
def test_script_finds_the_modules_that_it_finds_without_us(
    run: Callable[..., str], here: Path, variables: dict[str, str], script: tuple[str, ...]
) -> None:
    bare = run(*script, **variables)
    loaded = (here / "loaded.txt").read_text()
    assert bare.endswith("\n3")
    assert run(*COMMAND, *script, **variables).removesuffix("2") == bare.removesuffix("3")
    assert (here / "loaded.txt").read_text() == loaded


@pytest.mark.parametrize("option", ["-P", "-I", "-O"])
def test_child_has_the_options_of_its_parent(run: Callable[..., str], here: Path, option: str) -> None:
    bare = run(option, "sub/train.py", "x")
    assert bare.endswith("\n3")
    assert run(option, str(here / "parent.py")) == bare


def test_command_imports_nothing_from_the_working_folder(run: Callable[..., str], here: Path) -> None:
    for module in ("keras_repro", "keras_repro.cli"):
        assert run("-m", module, "--version").startswith("keras-repro ")
        assert not (here / "loaded.txt").exists()
