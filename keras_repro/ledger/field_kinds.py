"""The kinds of the nested fields of a ledger. Values of another kind count as not recorded.

A reader of such a field finds the type that is listed here, or nothing. Other fields may hold any JSON.
"""

from __future__ import annotations

from keras_repro.utils.untrusted_json import Kind

_GPU = {"model": str, "driver": str, "memory_bytes": int, "compute_capability": str}
_DATA: Kind = {
    "kind": str,
    "samples": int,
    "digest": str,
    "rows": str,
    "order": str,
    "parts": {"*": str},
    "workers": int,
    "shared_generators": [str],
}
_FINDING = {"operation": str, "layer": str, "source": str, "reason": str, "name": str, "count": int}

HEADER: Kind = {
    "environment": {
        "python": {"*": str, "optimize": int},
        "packages": {"*": str},
        "frameworks": {"*": str},
        "cpu": {"model": str, "vendor": str, "family_model_stepping": str, "flags": [str], "logical": int}
        | {"available": int},
        "memory_bytes": int,
        "gpu": [_GPU],
        "os": {"*": str},
        "git": {"commit": str, "dirty": bool},
        "variables": {"*": str},
        "code": str,
    },
    "switches": [{"name": str, "ok": bool, "fix": str}],
    "command": {"script": str, "module": str, "arguments": list, "hidden": int},
    "seed": int,
    "policies": {"max_epochs": int, "max_steps": int},
}

RECORD: Kind = {
    "arguments": {"epochs": int, "steps": int, "epochs_requested": int, "steps_requested": int},
    "data": _DATA,
    "validation_data": _DATA,
    "seeds_set": {"keras": int, "tensorflow": int},
    "models": [int],
    "steps_recorded": int,
    "notes": [str],
    "after_custom_loop": bool,
    "seconds": float,
    "stateful_random_operations": [str],
    "snapshot": {"file": str, "digest": str},
    "portability": {"level": str, "threads": int, "findings": [_FINDING]},
    "steps": int,
    "reason": str,
    "code": int,
    "processes": int,
    "unobserved": int,
    "unsupported": [str],
    "seed_reaches_order": bool,
    "error": str,
    "inputs": {"files": [{"root": str, "path": str, "bytes": int, "digest": str}], "unnamed": int},
}
