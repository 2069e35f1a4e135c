"""The order of samples, and pipelines in that order."""
