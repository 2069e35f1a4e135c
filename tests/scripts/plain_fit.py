"""Train without a trainer, in one of three ways: fit, batches, not at all."""

import sys

from small import X, Y, build

HOW = sys.argv[1]
if HOW == "fit":
    build().fit(X, Y, epochs=1, verbose=0)
elif HOW == "batches":
    build().train_on_batch(X, Y)
