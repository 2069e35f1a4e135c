"""Find state that a traced training step keeps and no snapshot contains.

    hidden_state(concrete.graph, model)
    # [Finding(operation="RandomUniform", layer="noise", source="train.py:12", ...)]

The step is checked when it is traced for its first run, before that run.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from keras_repro.determinism.operation_catalogue import SELF_SEEDED
from keras_repro.errors import ResumeError
from keras_repro.source_code.ownership import short_path
from keras_repro.training.backends.active import backend
from keras_repro.training.graph.finding import Finding, listed
from keras_repro.training.graph.operation_source import user_line_of

_COUNTER = "it keeps a counter that no snapshot contains"
_NO_SEED = "it has no seed, so it draws from the system's entropy, which no snapshot contains"
_SHARED = "it keeps a state under a name, which no snapshot contains"


class HiddenStateError(ResumeError):
    """A training step has a state that no snapshot contains."""


def hidden_state(graph: Any, model: Any, tables: Iterable[Any]) -> list[Finding]:
    """Return what a traced step, and the functions that it calls, keep from one run to the next.

    Args:
        graph: the graph of the traced step.
        model: the model.
        tables: the lookup tables that the user's code can reach.
    """
    layers = {layer.name for layer in backend.trainer.flat_layers(model)}
    findings: dict[tuple[str, str, str], Finding] = {}
    for operation, reason in _hidden(graph, {id(table.resource_handle) for table in tables}):
        # If a scope is entered again, its name gets a number: `noise_1`.
        scopes = [(p, re.sub(r"_\d+$", "", p)) for p in reversed(operation.name.split("/")[:-1])]
        layer = next((name for names in scopes for name in names if name in layers), "")
        line = user_line_of(operation)
        source = "" if line is None else f"{short_path(line.file)}:{line.line}"
        finding = Finding(
            operation=operation.type, reason=reason, name=operation.name, layer=layer, source=source
        )
        findings.setdefault((operation.type, layer, source), finding)
    return list(findings.values())


def error_for(model: Any, findings: Sequence[Finding]) -> HiddenStateError:
    """Return the error that lists what was found."""
    lines = [f"the training step of {model.name!r} cannot be resumed exactly; nothing was trained:"]
    lines += listed(findings)
    lines.append(
        "Use keras.random and a SeedGenerator, or tf.random.stateless_*, and variables for other state; or "
        "use strict=False to train and record that a resume may not be exact"
    )
    return HiddenStateError("\n".join(lines))


def _hidden(graph: Any, tables: Collection[int]) -> Iterator[tuple[Any, str]]:
    """Yield operations, and why each has a state."""
    for operation in backend.graphs.operations_of(graph):
        if backend.graphs.is_stateful_random(operation.node_def):
            yield operation, _NO_SEED if operation.type in SELF_SEEDED else _COUNTER
        elif "shared_name" in operation.node_def.attr and backend.graphs.is_stateful(operation.type):
            yield operation, _SHARED
    graphs = backend.graphs
    for handle, kind, users in graphs.captured_resources(graph):
        is_known = kind in (graphs.VARIABLE, graphs.SUMMARY_WRITER) or id(handle) in tables
        if not is_known and not (kind == graphs.TABLE and _is_static(handle)):
            what = kind.rpartition(":")[2].removesuffix("Interface").removesuffix("Resource")
            # The last one is in the innermost function: the others call it.
            user = next((o for o in reversed(users) if user_line_of(o) is not None), users[-1])
            yield user, f"it uses a resource ({what}) whose state no snapshot contains"


def _is_static(handle: Any) -> bool:
    """Return whether a lookup table cannot change, of which only the handle is known."""
    is_table, is_mutable = backend.variables.is_table, backend.variables.is_mutable_table
    owners = [o for o in gc.get_objects() if is_table(o) and o.resource_handle is handle]
    return bool(owners) and not any(map(is_mutable, owners))
