"""The data path: descriptions, digests and the batches that a fit is fed."""
