"""Text, untrusted JSON, and objects that are closed."""
