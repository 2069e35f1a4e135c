"""How far apart the weights of two runs are."""
