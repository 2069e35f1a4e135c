"""The only code that touches a model."""
