"""Workflows of several child processes: verify and diagnose."""
