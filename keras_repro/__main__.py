"""Run the command line: `python -m keras_repro`, and the command `keras-repro`."""

import sys

from keras_repro.utils.import_order import own_modules_first


def main() -> int:
    """Run the command line of this process; return its exit code."""
    own_modules_first()  # with `-m`, the working folder is the first of `sys.path`
    from keras_repro.cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
