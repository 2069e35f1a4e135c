"""The commands of `keras-repro`: one file a command; `command(options)` returns the exit code."""
