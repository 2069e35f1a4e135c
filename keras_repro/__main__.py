"""Run the command line: `python -m keras_repro`."""

import sys

from keras_repro.cli.main import main

sys.exit(main())
