import random


class Cropper:
    """Cuts a square out of a picture, somewhere."""

    def __init__(self, size):
        self.size = size
        self._dice = random.Random()

    def __call__(self, picture):
        top = self._dice.randrange(picture.shape[0] - self.size + 1)
        left = self._dice.randrange(picture.shape[1] - self.size + 1)
        return picture[top : top + self.size, left : left + self.size]
