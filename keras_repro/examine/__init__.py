"""Two records side by side, and the processes that make them: never a model."""
