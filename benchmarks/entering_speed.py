"""Measure the time to enter an epoch at step k, up to the first batch, for several k.

    python benchmarks/entering_speed.py [--samples 10000000] [--rounds 9]

Bar: the same time for every k, also at 10 million samples (batches of 32: 312,500 steps per epoch). The time
covers building the data pipeline of the shuffled arrays from that step on, entering Keras's epoch iterator
there, and the first batch. Each round measures every k; medians are printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()

    import keras
    import numpy as np
    import tensorflow as tf
    from keras.src.backend.tensorflow.trainer import TFEpochIterator

    from keras_repro.training.backends.keras3_tf import epoch_entry
    from keras_repro.training.data.order.ordered_pipeline import OrderPolicy, ordered_dataset

    policy = OrderPolicy(seed=1, batch_size=32, shuffle="every_epoch")
    arrays = (tf.constant(np.arange(options.samples, dtype="float32")[:, None]),)
    steps = policy.steps(options.samples)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def enter(step: int) -> float:
        start = time.perf_counter()
        data = ordered_dataset(arrays, options.samples, policy, first_step=steps + step, last_step=3 * steps)
        iterator = TFEpochIterator(
            x=data, steps_per_epoch=steps, distribute_strategy=tf.distribute.get_strategy()
        )
        epoch_entry.start_epoch_at_step(model, iterator, step=step, logs={})
        first, batches = next(iter(iterator._enumerate_iterator()))[0], iter(data)
        next(batches)
        assert first == step, (first, step)
        return time.perf_counter() - start

    chosen = sorted({0, 1, 100, steps // 100, steps // 10, steps // 2, steps - 1})
    enter(0)
    taken: dict[int, list[float]] = {step: [] for step in chosen}
    for _ in range(options.rounds):
        for step in chosen:
            taken[step].append(enter(step))
    base = statistics.median(taken[0])
    print(f"{options.samples} samples, {steps} steps per epoch")
    print(f"{'step':>8} {'ms':>9} {'over k = 0':>11} {'lowest':>9} {'highest':>9}")
    for step, seconds in taken.items():
        middle = statistics.median(seconds)
        print(
            f"{step:8} {middle * 1e3:9.1f} {middle / base:11.3f} {min(seconds) * 1e3:9.1f} "
            f"{max(seconds) * 1e3:9.1f}"
        )


if __name__ == "__main__":
    main()
