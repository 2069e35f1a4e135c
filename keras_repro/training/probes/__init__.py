"""The child side of a diagnosis."""
