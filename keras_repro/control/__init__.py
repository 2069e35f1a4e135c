"""What makes a run repeat: seeds, switches, the order of the data."""
