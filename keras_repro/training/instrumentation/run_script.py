"""Run a script or a module as Python does: as `__main__`."""

from __future__ import annotations

import builtins
import importlib.machinery
import importlib.util
import os
import sys
import types
from typing import Any

from keras_repro.processes.protocol import Plan


def run_as_main(plan: Plan) -> None:
    """Run a script or module as `python SCRIPT` or `python -m MODULE` does."""
    main_module = types.ModuleType("__main__")
    if plan.module is not None:
        sys.path[0] = os.getcwd()
        spec, code = _module_code(plan.module)
        main_module.__spec__ = spec
        main_module.__package__ = spec.parent
        main_module.__file__ = spec.origin
        main_module.__loader__ = spec.loader
        main_module.__dict__["__cached__"] = spec.cached
    else:
        assert plan.script is not None
        sys.path[0] = os.path.dirname(os.path.realpath(plan.script))
        main_module.__file__ = os.path.abspath(plan.script)
        main_module.__loader__ = importlib.machinery.SourceFileLoader("__main__", main_module.__file__)
        main_module.__dict__["__cached__"] = None
        # A syntax error must name the script, as in Python.
        with open(plan.script, "rb") as file:
            code = compile(file.read(), main_module.__file__, "exec", dont_inherit=True)
    sys.argv = [plan.script or str(main_module.__file__), *plan.arguments]
    main_module.__dict__.update(__builtins__=builtins, __annotations__={})
    sys.modules["__main__"] = main_module
    exec(code, main_module.__dict__)


def _module_code(name: str) -> tuple[Any, Any]:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module exists, and imports one that does not
        spec = None
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(f"{name}.__main__")
    if spec is None or spec.loader is None:
        sys.exit(f"cannot run module {name}: no such module, or it has no code")
    return spec, spec.loader.get_code(spec.name)  # type: ignore[attr-defined]
