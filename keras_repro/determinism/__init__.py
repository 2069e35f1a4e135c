"""Seeds, switches and rules of portability; nothing here knows a model."""
