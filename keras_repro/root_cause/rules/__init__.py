"""The rules of a diagnosis, one module per kind of place."""
