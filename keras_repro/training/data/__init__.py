"""Descriptions and digests of data, its order, and how it is passed to a fit."""
