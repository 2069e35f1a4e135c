"""Layout of heat maps and curves, and the PNG."""
