"""Where a module is, found without running anything of it.

>>> is_there("json.tool"), is_there("no_such_module")
(True, False)
>>> main_file("json.tool").name
'tool.py'
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import os
from pathlib import Path


def is_there(module: str, folder: str | os.PathLike[str] = ".") -> bool:
    """Whether a module can be found from a folder, or is installed.

    Args:
        module: its name; only the first part is looked for, since finding the rest would run the package.
        folder: where Python looks first.
    """
    return _spec(module.partition(".")[0], folder) is not None


def main_file(module: str) -> Path | None:
    """The file that `python -m MODULE` runs, from the working folder; None where there is none."""
    top, *rest = module.split(".")
    spec = _spec(top, ".")
    if spec is None:
        return None
    if not rest and spec.submodule_search_locations is None:
        return Path(spec.origin) if spec.has_location and spec.origin else None
    for folder in spec.submodule_search_locations or ():
        whole = Path(folder).joinpath(*rest)
        for candidate in (whole.with_name(f"{whole.name}.py"), whole / "__main__.py"):
            if candidate.is_file() and (rest or candidate.name == "__main__.py"):
                return candidate
    return None


def _spec(top: str, folder: str | os.PathLike[str]) -> importlib.machinery.ModuleSpec | None:
    here = [os.path.abspath(folder), os.getcwd()]
    with contextlib.suppress(ImportError, ValueError):
        return importlib.machinery.PathFinder.find_spec(top, here) or importlib.util.find_spec(top)
    return None
