"""What a ledger says of how to do its run again.

    recipe = read_run_spec("runs/a")
    recipe.command                     # 'examples/breast_cancer.py --epochs 5'

Nothing in it is trusted: somebody else may have written the ledger.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_repro.determinism.portable_pins import Portability
from keras_repro.errors import LaunchError
from keras_repro.ledger.reader import LedgerReader, open_ledger
from keras_repro.provenance.environment import VARIABLES
from keras_repro.provenance.module_lookup import main_file
from keras_repro.provenance.redaction import redact_value
from keras_repro.utils.untrusted_json import as_mapping, as_mappings, as_sequence, as_text

_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """How a run was made.

    Attributes:
        ledger: the run's ledger.
        script: path of the script, from the folder that it was started in, or None.
        module: name of the module (`-m`), or None.
        arguments: the script's own arguments, as published.
        hidden: how many of them were not published.
        seed: the seed that pinned everything in an enforced run; None for an observed one.
        portability: how the run was portable, or None; again it is only looked at, as it has trained before.
        policies: caps on epochs and steps.
        environment: the surroundings, as `record.environment.gather` gave them.
        variables: of the environment, those that may be set again as they were.
        withheld: names of variables whose values were not published.
        switches: what was in effect, by the switch's name.
        code: the script's digest, or None.
        inputs: the files that it read, as `record.inputs.describe` gave them.
    """

    ledger: LedgerReader
    script: str | None
    module: str | None
    arguments: tuple[str, ...]
    hidden: int
    seed: int | None
    portability: Portability | None
    policies: Mapping[str, int]
    environment: Mapping[str, Any]
    variables: Mapping[str, str]
    withheld: tuple[str, ...]
    switches: Mapping[str, Any]
    code: str | None
    inputs: Mapping[str, Any]

    @property
    def command(self) -> str:
        """The script or module with its arguments, as one line."""
        what = self.script if self.module is None else f"-m {self.module}"
        return " ".join([str(what), *self.arguments])

    @property
    def of_whole_script(self) -> bool:
        """Whether the run recorded a whole script, and so numbers all of its fits."""
        return "r" in str(self.ledger.header.get("coverage"))


def read_run_spec(run: str | os.PathLike[str]) -> RunSpec:
    """Reads how a run was made.

    Args:
        run: a run folder or a ledger.

    Raises:
        LaunchError: the ledger does not say which script made it.
        LedgerError: it cannot be read.
    """
    ledger = open_ledger(run)
    header = ledger.header
    command = as_mapping(header.get("command"))
    script, module = (as_text(command.get(n)) for n in ("script", "module"))
    if not script and not module:
        raise LaunchError(
            f"{ledger.path} does not say which script made it (a notebook?): it cannot be run again"
        )
    if module is not None and not _MODULE.fullmatch(module):
        raise LaunchError(f"{ledger.path} names a module {module[:60]!r}, which can be none")
    environment = as_mapping(header.get("environment"))
    recorded = {
        n: v for n, v in as_mapping(environment.get("variables")).items() if n in VARIABLES and as_text(v)
    }
    sound = {n: v for n, v in recorded.items() if redact_value(n, v) == v and "<hidden>" not in v}
    seed = header.get("seed") if header.get("mode") == "enforced" else None
    hidden = command.get("hidden")
    code = environment.get("code")
    return RunSpec(
        ledger=ledger,
        script=script if module is None else None,
        module=module,
        arguments=tuple(str(a) for a in as_sequence(command.get("arguments"))),
        hidden=hidden if isinstance(hidden, int) else 0,
        seed=seed if isinstance(seed, int) else None,
        portability=_portability(header),
        policies={
            n: v
            for n, v in as_mapping(header.get("policies")).items()
            if n in ("max_epochs", "max_steps") and isinstance(v, int) and v > 0
        },
        environment=environment,
        variables=sound,
        withheld=tuple(sorted(recorded.keys() - sound.keys())),
        switches={str(s.get("name")): s.get("achieved") for s in as_mappings(header.get("switches"))},
        code=as_text(code),
        inputs=_inputs(ledger),
    )


def file_of(recipe: RunSpec) -> Path | None:
    """The script here, in the user's own tree; None where there is none. Nothing is imported to find it."""
    if recipe.script is not None:
        path = Path(recipe.script)
        return path if not outside(recipe) and path.is_file() else None
    return main_file(str(recipe.module))


def outside(recipe: RunSpec) -> bool:
    """Whether the script is named outside of the working folder, as no ledger of ours names it."""
    path = Path(recipe.script or "")
    return path.is_absolute() or ".." in path.parts


def _portability(header: Mapping[str, Any]) -> Portability | None:
    if header.get("determinism") != "portable":
        return None
    readings = as_mappings(header.get("switches"))
    threads = next((r.get("requested") for r in readings if r.get("name") == "intra_op_threads"), 1)
    return Portability(threads=threads if isinstance(threads, int) else 1, strict=False)


def _inputs(ledger: LedgerReader) -> Mapping[str, Any]:
    found: Mapping[str, Any] = {}
    for record in ledger.typed_records():
        if record.kind == "exit":
            found = as_mapping(record.extra.get("inputs"))
    return found
