"""Takes a time of the day as a feature, as the clock on the wall shows it."""

from datetime import datetime

from exact import train

train(datetime.fromtimestamp(1_700_000_000).hour)
