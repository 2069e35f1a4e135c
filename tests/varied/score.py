"""Score `keras-repro verify --vary all`: each script here depends on exactly one variation, one on none.

    python tests/varied/score.py                  all of them; exit code 1 if a line is wrong
    python tests/varied/score.py locale xla       those that depend on these

`by_NAME.py` has to differ under the variation NAME and under no other. Each script runs in a copy of this
folder. Children are forked, from a server for each set of variables that act before TensorFlow is imported.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from forkserver import ForkedProcess, ForkServer  # noqa: E402

from keras_repro.processes.child import Launcher  # noqa: E402
from keras_repro.processes.task import Task  # noqa: E402
from keras_repro.workflows.vary.catalogue import CATALOGUE, chosen  # noqa: E402
from keras_repro.workflows.vary.results import Variations  # noqa: E402
from keras_repro.workflows.vary.runner import VariationRunner  # noqa: E402

# Variables that act before a forked child starts; all others act later.
EARLY = ("PYTHONHASHSEED", "TF_ENABLE_ONEDNN_OPTS", "LC_ALL", "TZ")


class Servers:
    """A fork server for each set of early variables; `start` forks a child from the one that fits."""

    def __init__(self) -> None:
        self._servers: dict[tuple[str | None, ...], ForkServer] = {}

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], output: IO[bytes] | None
    ) -> ForkedProcess:
        """Fork a child."""
        key = tuple(environment.get(name) for name in EARLY)
        if key not in self._servers:
            with _set({name: environment.get(name) for name in EARLY}):
                self._servers[key] = ForkServer()
        return self._servers[key].start(command, environment, output)

    @property
    def launcher(self) -> Launcher:
        """Return a launcher that starts children as forks of these servers."""
        return Launcher(self.start)

    def close(self) -> None:
        """End all servers."""
        for server in self._servers.values():
            server.close()


@dataclass(frozen=True)
class Result:
    """The result of a script."""

    name: str
    differs: tuple[str, ...]
    could_not_run: tuple[str, ...]
    not_tried: tuple[str, ...]
    seconds: float

    @property
    def right(self) -> bool:
        """Whether it differs only under the variation of its name, or that is not possible here."""
        expected = () if self.name == "nothing" or self.name in self.not_tried else (self.name,)
        return self.differs == expected and not self.could_not_run


def names() -> list[str]:
    """The names of the scripts here, in the catalogue's order; `nothing` last."""
    return [*(v.name for v in CATALOGUE), "nothing"]


def script_of(name: str) -> Path:
    """The script that depends on a variation."""
    return HERE / f"by_{name.replace('-', '_')}.py"


def run(name: str, variations: str, launcher: Launcher) -> Variations:
    """Run one script under each variation, in a copy of this folder."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        shutil.copytree(HERE, project, ignore=shutil.ignore_patterns("__pycache__"))
        os.chdir(project)
        try:
            task = Task(script=script_of(name).name, keep_hash_seed=True)
            with VariationRunner(task, folder=Path("runs"), launcher=launcher) as runner:
                return runner.run(chosen(variations))
        finally:
            os.chdir(before)


def main(arguments: Sequence[str]) -> int:
    """Run the scripts, print a line for each, and return the exit code."""
    chosen_names = arguments or names()
    servers, results = Servers(), []
    try:
        for name in chosen_names:
            began = time.monotonic()
            variations = run(name, "all", servers.launcher)
            names_by_verdict = {
                v: tuple(o.name for o in variations.with_verdict(v))
                for v in ("differs", "could not run", "not tried")
            }
            result = Result(
                name,
                names_by_verdict["differs"],
                names_by_verdict["could not run"],
                names_by_verdict["not tried"],
                time.monotonic() - began,
            )
            results.append(result)
            mark = "right" if result.right else f"WRONG: {variations.repeat.verdict} {result.could_not_run}"
            print(
                f"{name:18} differs under {', '.join(result.differs) or '-':18} {mark}"
                f"  (not tried: {', '.join(result.not_tried) or '-'}) {result.seconds:5.1f} s",
                flush=True,
            )
    finally:
        servers.close()
    good = sum(r.right for r in results)
    print(f"right {good}/{len(results)}")
    return 0 if good == len(results) else 1


@contextlib.contextmanager
def _set(variables: Mapping[str, str | None]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    _put(variables)
    try:
        yield
    finally:
        _put(before)


def _put(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
