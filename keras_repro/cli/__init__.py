"""The command line: options, and one module per command in `commands`."""
