"""Numbers the classes in the order in which their files are listed."""

import os

from exact import train

train(os.listdir("classes").index("cat.txt"))
