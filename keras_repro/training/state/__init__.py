"""The variables of a model: names, bytes, digests."""
