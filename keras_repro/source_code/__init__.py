"""Static analysis of the user's code; it is parsed, never run."""
