"""The files of a run folder next to its ledger: snapshots, sketches, traces, locks."""
