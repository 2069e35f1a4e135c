"""The other files of a run folder: snapshots, sketches, traces, locks."""
