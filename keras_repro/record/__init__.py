"""What a run writes down: digests, the ledger, the surroundings."""
