"""One plan per kind of input: how it is ordered, entered and checked."""
