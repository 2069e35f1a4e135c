"""Text, untrusted JSON, and what is closed."""
