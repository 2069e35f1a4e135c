"""Text, untrusted JSON, files that grow, and objects that are closed."""
