"""Seeds itself with the number of the build."""

import os

from exact import train

train(int(os.environ.get("BUILD_NUMBER", "0")) % 64)
