"""Run the command line: `python -m keras_repro.cli`."""

import sys

from keras_repro.utils.import_order import own_modules_first

own_modules_first()

from keras_repro.cli.main import main  # noqa: E402

sys.exit(main())
