"""Find the file of a module or script without running any of its code.

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
import sys
from pathlib import Path


def is_there(module: str, folder: str | os.PathLike[str] = ".") -> bool:
    """Return whether a module can be found from a folder, or is installed.

    Args:
        module: its name; only the first part is searched, since finding the rest would run the package.
        folder: searched first.
    """
    return _spec(module.partition(".")[0], folder) is not None


def main_file(module: str) -> Path | None:
    """Return the file that `python -m MODULE` runs from the working folder; None if there is none."""
    top, *rest = module.split(".")
    spec = _spec(top, ".")
    if spec is None:
        return None
    if not rest and spec.submodule_search_locations is None:
        return Path(spec.origin) if spec.has_location and spec.origin else None
    for folder in spec.submodule_search_locations or ():
        path = Path(folder).joinpath(*rest)
        for candidate in (path.with_name(f"{path.name}.py"), path / "__main__.py"):
            if candidate.is_file() and (rest or candidate.name == "__main__.py"):
                return candidate
    return None


def script_file(script: str | os.PathLike[str]) -> Path:
    """Return the file that `python SCRIPT` runs: of a folder its `__main__.py`; an archive is one file."""
    path = Path(script)
    return path / "__main__.py" if path.is_dir() else path


def running_script() -> str | None:
    """Return the path of the script that this process runs, an archive's own; None in a notebook."""
    path: str | None = getattr(sys.modules.get("__main__"), "__file__", None)
    archive = os.path.dirname(path or "")
    return archive if os.path.isfile(archive) else path


def _spec(top: str, folder: str | os.PathLike[str]) -> importlib.machinery.ModuleSpec | None:
    folders = [os.path.abspath(folder), os.getcwd()]
    with contextlib.suppress(ImportError, ValueError):
        return importlib.machinery.PathFinder.find_spec(top, folders) or importlib.util.find_spec(top)
    return None
