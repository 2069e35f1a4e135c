"""Use the path of the data as part of the data."""

from pathlib import Path

from exact import train

train(len(str((Path(__file__).parent / "classes").resolve())))
