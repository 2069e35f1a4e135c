"""Records of other threads, held until the end of the run."""
