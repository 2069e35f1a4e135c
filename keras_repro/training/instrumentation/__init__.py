"""The child side of run and verify."""
