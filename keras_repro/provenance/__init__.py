"""What is recorded about the environment and the input files, and redaction."""
