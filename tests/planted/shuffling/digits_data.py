from sklearn.datasets import load_digits
from sklearn.utils import shuffle


def load(limit=1000):
    """Images in [0, 1] and their labels, mixed."""
    bunch = load_digits()
    images = bunch.images[:limit, :, :, None].astype("float32") / 16.0
    labels = bunch.target[:limit]
    return shuffle(images, labels)
