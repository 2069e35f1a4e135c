"""Which files a script reads, heard from Python and from the libraries that open files by themselves.

    files = FilesRead()
    files.hear("open", ("data/x.npy", "rb", 0))
    files.paths()                                     # the absolute path of data/x.npy

Files of the Python installation are left out: their packages' versions are recorded. What is opened by
C++ alone (a `TFRecordDataset`, say) is not heard.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import wrapt

from keras_repro.training.probes import opens

_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/")


class FilesRead:
    """Hears of files that are opened, from the audit events of Python on.

    Args:
        leave_out: folders whose files do not count.
    """

    def __init__(self, *leave_out: str | os.PathLike[str]) -> None:
        self._read: dict[str, None] = {}
        self._written: set[str] = set()
        own = Path(__file__).parents[2]
        installed = {str(own), sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
        folders = {os.path.realpath(f) + os.sep for f in (*installed, *leave_out)}
        self._left_out = (*_SYSTEM, *folders)

    def install(self) -> None:
        """Also hears of what h5py opens, and of the files of a folder that Keras makes a dataset of."""
        wrapt.register_post_import_hook(self._watch_h5py, "h5py._hl.files")
        wrapt.register_post_import_hook(self._watch_folders, "keras.src.utils.dataset_utils")

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        """Takes in an audit event of the interpreter."""
        if event != "open" or not isinstance(args[0], str | bytes):
            return
        self._add(args[0], writes=opens.opens_for_writing(args[1], args[2]))

    def paths(self) -> list[str]:
        """The files that were read and not written, with the script's own modules that were imported."""
        modules = [getattr(m, "__file__", None) for m in list(sys.modules.values())]
        for path in modules:
            if isinstance(path, str) and path.endswith(".py"):
                self._add(path, writes=False)
        return [p for p in self._read if p not in self._written and self._counts(os.path.realpath(p))]

    def _add(self, path: str | bytes, *, writes: bool) -> None:
        text = os.fsdecode(path)
        if text.endswith(".pyc"):
            return
        try:
            absolute = os.path.abspath(text)
        except OSError:  # the working folder is gone
            return
        if writes:
            self._written.add(absolute)
        else:
            self._read[absolute] = None

    def _counts(self, path: str) -> bool:
        packages = {"site-packages", "dist-packages"} & set(Path(path).parts)
        caches = {".cache", "__pycache__"} & set(Path(path).parts)
        made = path.endswith("/keras.json") or os.path.basename(path).startswith("__autograph_generated")
        return not (path.startswith(self._left_out) or packages or caches or made)

    def _watch_h5py(self, module: Any) -> None:
        opens.watch_h5py(module, lambda path, frame, writes: self._add(path, writes=writes))

    def _watch_folders(self, module: Any) -> None:
        def indexed(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            result = wrapped(*args, **kwargs)
            for path in result[0]:
                self._add(os.fspath(path), writes=False)
            return result

        wrapt.wrap_function_wrapper(module, "index_directory", indexed)
