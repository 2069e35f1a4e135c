"""How a run was made, as its ledger records it.

    spec = read_run_spec(open_ledger("runs/a"))
    spec.command                       # 'examples/breast_cancer.py --epochs 5'

Nothing in a ledger is trusted: it may come from others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_repro.determinism.portable_pins import Portability
from keras_repro.errors import LaunchError
from keras_repro.ledger.reader import LedgerReader
from keras_repro.ledger.schema import switches_in
from keras_repro.provenance.environment import VARIABLES
from keras_repro.provenance.module_lookup import main_file, script_file
from keras_repro.provenance.redaction import HIDDEN, redact_value
from keras_repro.utils.untrusted_json import as_mapping, as_sequence, as_text

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
        seed: the seed of an enforced run; None for an observed one.
        portability: how the run was portable, or None; never strict, since the run has trained before.
        policies: caps on epochs and steps.
        environment: as `provenance.environment.gather` recorded it.
        variables: the environment variables that may be set again.
        withheld: names of variables whose values were not published.
        switches: effective values by switch name.
        code: the script's digest, or None.
        inputs: the files that it read, as `provenance.input_files.describe` recorded them.
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
        name = self.script if self.module is None else f"-m {self.module}"
        return " ".join([str(name), *self.arguments])

    @property
    def of_whole_script(self) -> bool:
        """Whether the run recorded a whole script, and so numbers all of its fits."""
        return "r" in str(self.ledger.header.get("coverage"))

    @property
    def is_outside(self) -> bool:
        """Whether the script's path leads out of the working folder; none of our ledgers has such a path."""
        path = Path(self.script or "")
        return path.is_absolute() or ".." in path.parts

    @property
    def file(self) -> Path | None:
        """The script's file in the user's own tree, found without importing anything; None without one."""
        if self.script is None:
            return main_file(str(self.module))
        path = script_file(self.script)
        return path if not self.is_outside and path.is_file() else None


def read_run_spec(ledger: LedgerReader) -> RunSpec:
    """Read how a run was made.

    Raises:
        LaunchError: the ledger names no script or module.
        LedgerError: it is damaged.
    """
    header = ledger.header
    command = as_mapping(header.get("command"))
    script, module = (as_text(command.get(n)) for n in ("script", "module"))
    if not script and not module:
        raise LaunchError(
            f"{ledger.path} does not record which script made the run (a notebook?): it cannot be run again"
        )
    if module is not None and not _MODULE.fullmatch(module):
        raise LaunchError(f"{ledger.path} names a module {module[:60]!r}, which is not a valid name")
    environment = as_mapping(header.get("environment"))
    recorded = {
        n: v for n, v in as_mapping(environment.get("variables")).items() if n in VARIABLES and as_text(v)
    }
    published = {n: v for n, v in recorded.items() if redact_value(n, v) == v and HIDDEN not in v}
    switches = switches_in(header)
    seed = header.get("seed") if header.get("mode") == "enforced" else None
    arguments = tuple(str(a) for a in as_sequence(command.get("arguments")))
    return RunSpec(
        ledger=ledger,
        script=script if module is None else None,
        module=module,
        arguments=arguments,
        hidden=max(command.get("hidden") or 0, sum(HIDDEN in a for a in arguments)),
        seed=seed if isinstance(seed, int) else None,
        portability=_portability(switches) if header.get("determinism") == "portable" else None,
        policies={
            n: v
            for n, v in as_mapping(header.get("policies")).items()
            if n in ("max_epochs", "max_steps") and isinstance(v, int) and v > 0
        },
        environment=environment,
        variables=published,
        withheld=tuple(sorted(recorded.keys() - published.keys())),
        switches={name: s.get("achieved") for name, s in switches.items()},
        code=as_text(environment.get("code")),
        inputs=_inputs(ledger),
    )


def _portability(switches: Mapping[str, Mapping[str, Any]]) -> Portability:
    threads = switches.get("intra_op_threads", {}).get("requested")
    return Portability(threads=threads if isinstance(threads, int) else 1, strict=False)


def _inputs(ledger: LedgerReader) -> Mapping[str, Any]:
    inputs: Mapping[str, Any] = {}
    for record in ledger.typed_records():
        if record.kind == "exit":
            inputs = as_mapping(record.extra.get("inputs"))
    return inputs
