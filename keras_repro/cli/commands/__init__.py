"""One module per command, each with a function `command(options)` that returns the exit code."""
