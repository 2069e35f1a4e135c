"""Run a recorded run again."""
