"""Traced functions of a step."""
