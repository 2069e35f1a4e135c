"""The rules by which a diagnosis tells the cause, one kind of place a file."""
