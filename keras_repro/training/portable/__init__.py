"""Portable training: the same bits on other CPUs."""
