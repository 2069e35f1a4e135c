import random


class Holdout:
    """Keeps some patients out of the training, never single visits of one."""

    def __init__(self, share, seed=None):
        self.share = share
        self.random = random.Random(seed)

    def __call__(self, number):
        out = self.random.sample(range(number), round(self.share * number))
        return [p for p in range(number) if p not in out], sorted(out)
