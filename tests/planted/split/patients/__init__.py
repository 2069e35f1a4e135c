"""Patients and their measurements."""
