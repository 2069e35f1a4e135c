"""The seam: the only code that uses private names of a framework, one folder per framework."""
