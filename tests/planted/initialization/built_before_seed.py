import keras
import numpy as np
from sklearn.datasets import load_digits
from vision_backbone import classifier


def main():
    keras.utils.set_random_seed(11)
    digits = load_digits()
    images = digits.images[..., np.newaxis].astype("float32") / 16.0
    classifier.compile(
        optimizer=keras.optimizers.SGD(0.05, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    classifier.fit(images[:800], digits.target[:800], epochs=2, verbose=2)
    print(classifier.evaluate(images[800:], digits.target[800:], verbose=0))


if __name__ == "__main__":
    main()
