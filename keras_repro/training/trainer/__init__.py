"""ReproducibleTrainer."""
