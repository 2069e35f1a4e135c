"""Use the number of the build as the seed."""

import os

from exact import train

train(int(os.environ.get("BUILD_NUMBER", "0")) % 64)
