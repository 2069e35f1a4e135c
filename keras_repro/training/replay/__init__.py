"""One step again, with taps."""
