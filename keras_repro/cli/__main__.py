"""Run the command line: `python -m keras_repro.cli`."""

import sys

from keras_repro.cli.main import main

sys.exit(main())
