"""Recorders of runs and fits, DeterminismCallback, Recorder."""
