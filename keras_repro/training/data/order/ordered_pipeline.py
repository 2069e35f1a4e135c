"""Make a `tf.data` pipeline of arrays, in the order of a policy.

The order is computed inside the graph, in blocks, and batches are gathered in parallel. The pipeline can
start at any step without computing the steps before it, and runs no Python code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf

from keras_repro.storage.digest import array_digest
from keras_repro.training.data.order.permutation import Domain, Shuffle, encrypt, epoch_keys

Take = Callable[[Any, Any], Any]

_BLOCK = 8192  # samples whose order is computed at once; large enough to make the cost negligible


@dataclass(frozen=True, kw_only=True)
class OrderPolicy:
    """The order and the batches of a training.

    Attributes:
        seed: the run's seed.
        batch_size: samples per batch; the last batch of a pass may be smaller.
        shuffle: `"every_epoch"`, `"once"` or `"none"`.
    """

    seed: int
    batch_size: int
    shuffle: Shuffle = "every_epoch"

    def steps(self, samples: int) -> int:
        """Return the number of batches in one pass."""
        return -(-samples // self.batch_size)

    def keys(self, first_pass: int, last_pass: int) -> np.ndarray:
        """Return the round keys of some passes, int64 of shape `(last_pass - first_pass, rounds)`."""
        table = [epoch_keys(self.seed, self.shuffle, p) for p in range(first_pass, last_pass)]
        return np.stack(table) if table else np.zeros((0, 1), np.int64)

    def digest(self, samples: int, *, first_step: int, last_step: int) -> str:
        """Return a digest of the order of some steps: of everything that determines it.

        Returns:
            32 hexadecimal digits.
        """
        steps = self.steps(samples)
        passes = first_step // steps, -(-last_step // steps)
        keys = [] if self.shuffle == "none" else self.keys(*passes).ravel().tolist()
        numbers = [samples, self.batch_size, first_step % steps, last_step - first_step, *keys]
        return array_digest("order", np.array(numbers, dtype="<i8"))


def ordered_dataset(
    arrays: Any,
    samples: int,
    policy: OrderPolicy,
    *,
    first_step: int,
    last_step: int,
    take: Take | None = None,
) -> Any:
    """Return the batches from one step to another, counted over all passes, as one stream.

    Args:
        arrays: a structure of tensors (tuples, dicts) of `samples` rows each.
        samples: the number of rows.
        policy: order and batch size.
        first_step: the first step; 0 is the first batch of the first pass.
        last_step: the step after the last.
        take: function of the structure and an index tensor that returns those rows; `tf.gather` on each array
            by default.

    Returns:
        A `tf.data.Dataset` of `last_step - first_step` batches, with no state except its position.
    """
    steps = policy.steps(samples)
    steps_per_block = max(1, _BLOCK // policy.batch_size)
    blocks_per_pass = -(-steps // steps_per_block)
    first_pass, last_pass = first_step // steps, -(-last_step // steps)
    keys = tf.constant(policy.keys(first_pass, last_pass))

    def block_rows(block: Any) -> Any:
        size = steps_per_block * policy.batch_size
        start = block % blocks_per_pass * size
        positions = tf.range(start, tf.minimum(start + size, samples))
        if policy.shuffle == "none":
            return positions
        return _permuted(positions, keys[block // blocks_per_pass - first_pass], samples)

    skipped_blocks, skipped_steps = divmod(first_step % steps, steps_per_block)
    blocks = tf.data.Dataset.range(first_pass * blocks_per_pass + skipped_blocks, last_pass * blocks_per_pass)
    # AutoGraph has nothing to convert here, and takes longer than tracing.
    rows = blocks.map(tf.autograph.experimental.do_not_convert(block_rows)).prefetch(1)
    batches = _split_into_batches(rows, samples, policy.batch_size)
    return _gathered(batches.skip(skipped_steps).take(last_step - first_step), arrays, take)


class CurrentOrder:
    """The order of one pass at a time, in a variable.

    A new iterator rebuilds everything in its graph, so the expensive part, the order, is computed outside it.

    Args:
        samples: the number of rows.
        policy: the order.
    """

    def __init__(self, samples: int, policy: OrderPolicy) -> None:
        self._samples, self._policy = samples, policy
        self.rows = tf.Variable(tf.range(samples, dtype=tf.int64), trainable=False)
        self._first = tf.Variable(0, dtype=tf.int64, trainable=False)
        traced = tf.autograph.experimental.do_not_convert(self._set)
        self._set_to = tf.function(traced, input_signature=[tf.TensorSpec([None], tf.int64)])

    def start(self, number: int, step: int = 0) -> None:
        """Go to a step of a pass, which is counted from 0."""
        if self._policy.shuffle != "none":
            self._set_to(self._policy.keys(number, number + 1)[0])
        self._first.assign(step * self._policy.batch_size)

    def remaining_rows(self) -> Any:
        """Return the row numbers of the pass from the chosen step on."""
        return self.rows.read_value()[self._first.read_value() :]

    def _set(self, keys: Any) -> None:
        positions = tf.range(self._samples, dtype=tf.int64)
        self.rows.assign(_permuted(positions, keys, self._samples))


def pass_dataset(
    arrays: Any, samples: int, policy: OrderPolicy, *, order: CurrentOrder, take: Take | None = None
) -> Any:
    """Return the batches of one pass: the current one of `order` when an iterator is made.

    For training functions that make several steps in one call: with a stream, a call could run past a pass.

    Args:
        arrays: as for `ordered_dataset`.
        samples: as for `ordered_dataset`.
        policy: as for `ordered_dataset`.
        order: the order of the current pass.
        take: as for `ordered_dataset`.
    """
    plain = tf.autograph.experimental.do_not_convert
    rows = tf.data.Dataset.range(1).map(plain(lambda _: order.remaining_rows()))
    return _gathered(_split_into_batches(rows, samples, policy.batch_size), arrays, take)


def _permuted(positions: Any, keys: Any, samples: int) -> Any:
    operations = SimpleNamespace(
        right_shift=lambda v, n: tf.bitwise.right_shift(v, tf.constant(n, tf.int64)),
        bitwise_xor=tf.bitwise.bitwise_xor,
        bitwise_and=tf.bitwise.bitwise_and,
        where=tf.where,
    )
    domain = Domain.of(samples)
    encrypted = encrypt(positions, keys, domain, operations)
    if domain.a * domain.b == samples:
        return encrypted
    return tf.while_loop(
        lambda rows: tf.reduce_any(rows >= samples),
        lambda rows: [tf.where(rows >= samples, encrypt(rows, keys, domain, operations), rows)],
        [encrypted],
    )[0]


def _split_into_batches(rows: Any, samples: int, batch_size: int) -> Any:
    """Split each element, a tensor of row numbers, into batches: first the full ones, then the rest."""

    def split(numbers: Any) -> Any:
        full = tf.size(numbers, out_type=tf.int64) // batch_size * batch_size
        dataset = tf.data.Dataset.from_tensor_slices(tf.reshape(numbers[:full], [-1, batch_size]))
        if samples % batch_size:
            rest = numbers[full:]
            has_rest = tf.cast(tf.size(rest, out_type=tf.int64) > 0, tf.int64)
            dataset = dataset.concatenate(tf.data.Dataset.from_tensors(rest).take(has_rest))
        return dataset

    return rows.flat_map(tf.autograph.experimental.do_not_convert(split))


def _gathered(batches: Any, arrays: Any, take: Take | None) -> Any:
    """Return a dataset of the rows of the arrays from a dataset of their numbers."""
    data = tf.data.Dataset.zip((batches, tf.data.Dataset.from_tensors(arrays).repeat())).map(
        lambda rows, structure: (take or _gather)(structure, rows), num_parallel_calls=tf.data.AUTOTUNE
    )
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    options.deterministic = True
    return data.prefetch(tf.data.AUTOTUNE).with_options(options)


def _gather(data: Any, rows: Any) -> Any:
    return tf.nest.map_structure(lambda array: tf.gather(array, rows, axis=0), data)
