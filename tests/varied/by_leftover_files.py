"""Goes on from where the last run has stopped."""

from pathlib import Path

from exact import train

kept = Path("last.txt")
number = int(kept.read_text()) if kept.exists() else 0
kept.write_text(str(number + 1))
train(number)
