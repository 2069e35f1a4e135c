"""Functions that are called as soon as a module has been imported.

    when_imported("keras", lambda module: print(module.__version__))

Nothing of ours is in the import: the module's spec reports that the module is ready. Private name checked
with Python 3.11 to 3.13: `_initializing` of a spec, which the import system sets to False at the end.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from typing import Any

_waiting: dict[str, list[Callable[[Any], Any]]] = {}


def when_imported(name: str, function: Callable[[Any], Any]) -> None:
    """Call a function with a module once it is imported, now if it is already.

    Args:
        name: the module's name.
        function: called in the order of registration, before the importing code goes on.
    """
    module = sys.modules.get(name)
    if module is not None:
        function(module)
        return
    _waiting.setdefault(name, []).append(function)
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


class _Finder:
    """Finds the modules that are waited for as the other finders do, and lets their specs report."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> Any:
        """Return a module's spec; called by the import system."""
        if name not in _waiting:
            return None
        for finder in sys.meta_path:
            if finder is not _Finder:
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    kind = type(spec)
                    spec.__class__ = type(kind.__name__, (_ReportingSpec, kind), {"original_class": kind})
                    return spec
        return None


class _ReportingSpec(importlib.machinery.ModuleSpec):
    """A spec that calls the waiting functions when its module is ready, and is of its own class again."""

    original_class: type

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "_initializing" and not value:
            self.__class__ = self.original_class
            module = sys.modules.get(self.name)
            if module is not None:  # otherwise the import has failed
                for function in _waiting.pop(self.name, ()):
                    function(module)
