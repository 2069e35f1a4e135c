"""The "Reproducibility Information" of a paper."""
