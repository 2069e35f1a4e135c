"""Decide whose code a file is: the user's, or that of a library. Every other module asks here.

Code of a library is the standard library, what is installed (in `site-packages` or in any other folder that
Python imports from), the frameworks wherever they are, this package, and what is generated at run time. All
other code is the user's, also in a notebook, and always the script itself.

>>> is_users_file("/home/me/train.py"), is_users_file("/home/me/.venv/lib/python3.11/site-packages/a.py")
(True, False)
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import sys
import sysconfig
from collections.abc import Iterator
from types import FrameType, ModuleType

# Names of code that was typed into Python or IPython.
_INTERACTIVE = ("<stdin>", "<python-input-", "<ipython-input-")
_SITE_FOLDERS = frozenset({"site-packages", "dist-packages"})
# Libraries also as an editable installation or from a build folder, which no installed file tells.
_FRAMEWORKS = ("tensorflow", "keras", "tf_keras", "jax", "torch", "numpy")

_OURS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")
_PATHS = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
_LIBRARIES = tuple({os.path.join(path, "") for path in (*_PATHS, os.path.dirname(os.__file__)) if path})

_known: dict[str, bool] = {}


def is_users_file(file: str) -> bool:
    """Return whether a file is the user's own. Called for each frame: the answer is kept by name.

    Args:
        file: as a code object names it, or an absolute path.
    """
    known = _known.get(file)
    if known is None:
        known = _known[file] = _is_users(file)
    return known


def is_users_class(kind: type) -> bool:
    """Return whether a class is defined in the user's code; no code of its module is run."""
    module = sys.modules.get(str(kind.__module__))
    file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
    return kind.__module__ == "__main__" or (isinstance(file, str) and is_users_file(file))


def is_of_library(frame: FrameType) -> bool:
    """Return whether a frame's module is known not to be the user's; False if only its code can tell.

    Does not use the code object: Python reports each access to all audit hooks, which takes far longer.
    """
    file = frame.f_globals.get("__file__")
    return type(file) is str and _known.get(file) is False


def short_path(file: str) -> str:
    """Return a library's file from its package on, and the user's by its name."""
    shortest = min((inside for _, inside in _on_path(file)), key=len, default="")
    return os.path.basename(file) if is_users_file(file) or not shortest else shortest


def _is_users(file: str) -> bool:
    if file.startswith("<"):
        return file.startswith(_INTERACTIVE)
    if os.path.basename(file).startswith("__autograph"):
        return False
    if file == getattr(sys.modules.get("__main__"), "__file__", None):
        return True
    return not (
        file.startswith((_OURS, *_LIBRARIES, *_framework_folders()))
        or not _SITE_FOLDERS.isdisjoint(file.split(os.sep))
        or any(inside.partition(os.sep)[0] in _installed_into(folder) for folder, inside in _on_path(file))
    )


def _framework_folders() -> Iterator[str]:
    """Yield the folders of the frameworks that are loaded."""
    for name in _FRAMEWORKS:
        module = sys.modules.get(name)
        if isinstance(module, ModuleType):
            yield from (os.path.join(folder, "") for folder in vars(module).get("__path__") or ())


def _on_path(file: str) -> Iterator[tuple[str, str]]:
    """Yield each folder or archive of `sys.path` that contains a file, with the file's path inside of it."""
    for entry in sys.path:
        if isinstance(entry, str):
            # As the import system does it: a relative entry becomes absolute, none is normalized.
            folder = entry if os.path.isabs(entry) else os.path.join(os.getcwd(), entry)
            folder = folder.rstrip(os.sep)
            if file.startswith(folder + os.sep):
                yield folder, file[len(folder) + 1 :]


@functools.cache
def _installed_into(folder: str) -> frozenset[str]:
    """Return the files and folders that distributions have installed directly into a folder or archive."""
    records = (d.read_text("RECORD") or "" for d in importlib.metadata.distributions(path=[folder]))
    return frozenset(
        line.partition(",")[0].partition("/")[0] for record in records for line in record.splitlines()
    )
