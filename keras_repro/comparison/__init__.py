"""Two ledgers: verdict, first divergence, cause, grade."""
