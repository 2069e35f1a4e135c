"""Time what a snapshot does to find and read the values that the user's code keeps outside of variables.

    python benchmarks/user_values_speed.py [--pairs 30] [--layers 20]

The walk over all that the code reaches, compared with the check that another walk would find the same, in
alternating pairs; and the reading of the values, which each snapshot does.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from pairs import alternate, print_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--layers", type=int, default=20, help="layers of the model, without the last one")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    from keras_repro.training.state.value_kinds import ValueClassifier
    from keras_repro.training.user_values.reachable import reach
    from keras_repro.training.user_values.user_values import UserValues

    class Counts(keras.callbacks.Callback):
        """Keep plain values, as a user's callback does."""

        def __init__(self) -> None:
            super().__init__()
            self.losses: list[float] = []

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.losses.append(logs["loss"])

    kinds: list[Callable[[], Any]] = [
        lambda: keras.layers.Dense(16),
        keras.layers.BatchNormalization,
        keras.layers.ReLU,
        lambda: keras.layers.Dropout(0.1),
    ]
    layers = [kinds[number % 4]() for number in range(options.layers)]
    model = keras.Sequential([keras.Input((16,)), *layers, keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    x, counts = np.zeros((32, 16), "float32"), Counts()
    model.fit(x, x[:, :1], verbose=0, callbacks=[counts])
    values, kind_of = UserValues(model, [counts]), ValueClassifier()
    reached = reach({"model": model, "counts": counts}, kind_of)

    def seconds(function: Callable[[], Any]) -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    def walk() -> float:
        return seconds(lambda: reach({"model": model, "counts": counts}, kind_of))

    def check() -> float:
        return seconds(reached.seen.is_valid)

    def capture() -> float:
        return seconds(lambda: values.capture(values.reach(), {}, "values"))

    print_table(
        [
            alternate("check instead of walk", walk, check, pairs=options.pairs),
            alternate("check and reading of values, instead of walk", walk, capture, pairs=options.pairs),
        ]
    )


if __name__ == "__main__":
    main()
