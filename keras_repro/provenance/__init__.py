"""Recorded facts about the environment and the input files, and their redaction."""
