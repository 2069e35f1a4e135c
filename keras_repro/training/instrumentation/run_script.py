"""Run a script, a module, or an archive or folder with a `__main__.py`, as Python does: as `__main__`."""

from __future__ import annotations

import builtins
import importlib.machinery
import importlib.util
import io
import os
import pkgutil
import sys
import types
from typing import Any

from keras_repro.processes.protocol import Plan
from keras_repro.utils.import_order import folders_before_standard_library


def run_as_main(plan: Plan) -> None:
    """Run what a plan names as `python SCRIPT` or `python -m MODULE` does."""
    main_module = types.ModuleType("__main__")
    script = plan.script and os.path.join(os.getcwd(), plan.script)
    contains_script = plan.script is not None and pkgutil.get_importer(str(script)) is not None
    if contains_script:
        sys.path.insert(0, str(script))
    elif not sys.flags.safe_path:
        sys.path.insert(0, os.path.dirname(os.path.realpath(script)) if script else os.getcwd())
    _forget_replaced_modules()
    if script is None or contains_script:
        sys.modules.pop("__main__", None)
        spec, code = _module_code(plan.module or "__main__")
        main_module.__spec__ = spec
        main_module.__package__ = spec.parent
        main_module.__file__ = spec.origin
        main_module.__loader__ = spec.loader
        main_module.__dict__["__cached__"] = spec.cached
    else:
        main_module.__file__ = os.path.abspath(script)
        main_module.__loader__ = importlib.machinery.SourceFileLoader("__main__", main_module.__file__)
        main_module.__dict__["__cached__"] = None
        with open(script, "rb") as file:
            text = file.read()
        # A syntax error must name the script, as in Python.
        code = pkgutil.read_code(io.BytesIO(text)) or compile(
            text, main_module.__file__, "exec", dont_inherit=True
        )
    sys.argv = [plan.script or str(main_module.__file__), *plan.arguments]
    main_module.__dict__.update(__builtins__=builtins, __annotations__={})
    sys.modules["__main__"] = main_module
    exec(code, main_module.__dict__)


def _forget_replaced_modules() -> None:
    """Let the script import its own files in place of modules that only this package has loaded so far.

    A script with a `queue.py` in its folder imports that, as without us. What we have loaded, we keep.
    """
    folders = folders_before_standard_library()
    loaded = list(sys.modules)
    ours = {name.partition(".")[0] for name in loaded[loaded.index("keras_repro") :]} - {"keras_repro"}
    for name in ours - set(sys.builtin_module_names):
        own = importlib.machinery.PathFinder.find_spec(name, folders)
        if own is None or own.loader is None or importlib.machinery.FrozenImporter.find_spec(name):
            continue
        if own.origin != getattr(getattr(sys.modules.get(name), "__spec__", None), "origin", None):
            for each in (n for n in loaded if f"{n}.".startswith(f"{name}.")):
                sys.modules.pop(each, None)


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
