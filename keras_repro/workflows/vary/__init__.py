"""One run per changed condition."""
