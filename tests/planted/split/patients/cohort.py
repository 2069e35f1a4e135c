import numpy as np

VISITS = 6
MEASUREMENTS = 12


def records(patients=60):
    """Measurements of each visit, and their patients."""
    source = np.random.default_rng(1000)
    level = source.normal(size=(patients, 1, 1))
    visits = level + 0.4 * source.normal(size=(patients, VISITS, MEASUREMENTS))
    return visits.astype("float32"), (level.ravel() > 0).astype("float32")
