"""What the code of a training keeps outside of variables: found, read, compared, restored."""
