"""Child processes: their protocol, their start, and copies of the folders in which they work."""
