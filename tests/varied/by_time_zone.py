"""Use the local hour of a time as a feature."""

from datetime import datetime

from exact import train

train(datetime.fromtimestamp(1_700_000_000).hour)
