"""Start a child process: load its module before any file of the user's can be imported.

Run by path, as `python .../start_child.py MODULE PLAN`. When `MODULE.main` is called, `sys.path` is as Python
makes it for a script, still without the script's own folder.
"""

import os
import sys


def _start() -> None:
    if not sys.flags.safe_path:
        del sys.path[0]  # the folder of this file
    path = sys.path[:]
    # Of several installed versions of this package, the one that this file belongs to.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    from keras_repro.utils.import_order import own_modules_first

    own_modules_first()
    from importlib import import_module

    module, *arguments = sys.argv[1:]
    run = import_module(module).main
    sys.path[:] = path
    sys.exit(run(arguments))


if __name__ == "__main__":
    _start()
