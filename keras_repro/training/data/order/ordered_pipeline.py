"""Batch and shuffle policies: arrays in, a `tf.data` pipeline in our order out.

The order is computed inside the graph, in blocks, and the batches are gathered in parallel: the pipeline can
be entered at any step without running through the ones before it, and Python has no part in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from keras_repro.storage.digest import array_digest
from keras_repro.training.data.order.permutation import Domain, Shuffle, encrypt, epoch_keys

Take = Callable[[Any, Any], Any]

_BLOCK = 8192  # samples whose places are computed at once: large enough to make its cost vanish


@dataclass(frozen=True, kw_only=True)
class OrderPolicy:
    """What decides the order and the batches of a training.

    Attributes:
        seed: the run's seed.
        batch_size: samples a batch; the last batch of a pass may be smaller.
        shuffle: `"every_epoch"`, `"once"` or `"none"`.
    """

    seed: int
    batch_size: int
    shuffle: Shuffle = "every_epoch"

    def steps(self, samples: int) -> int:
        """Batches in one pass."""
        return -(-samples // self.batch_size)

    def keys(self, first_pass: int, last_pass: int) -> np.ndarray:
        """The round keys of some passes, int64 of shape `(last_pass - first_pass, rounds)`."""
        table = [epoch_keys(self.seed, self.shuffle, p) for p in range(first_pass, last_pass)]
        return np.stack(table) if table else np.zeros((0, 1), np.int64)

    def digest(self, samples: int, *, first_step: int, last_step: int) -> str:
        """Commits to the order of some steps without computing it: to all that it is a function of.

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
    """The batches from one step to another, counted over all passes, as one stream.

    Args:
        arrays: a structure of tensors (tuples, dicts) of `samples` rows each.
        samples: how many rows.
        policy: order and batch size.
        first_step: the first step, 0 is the first batch of the first pass.
        last_step: one behind the last.
        take: gives the rows of the structure at an index tensor; `tf.gather` on each array by default.

    Returns:
        A `tf.data.Dataset` of `last_step - first_step` batches. No state but its position.
    """
    pipeline = _Pipeline(arrays, samples, policy, first_step, last_step, take)
    first_block = pipeline.block_of(first_step)
    indices = pipeline.indices(first_block, pipeline.last_pass * pipeline.blocks)
    skipped = first_step % pipeline.steps % pipeline.per_block
    return pipeline.gathered(indices.skip(skipped).take(last_step - first_step))


class CurrentOrder:
    """The order of one pass at a time, held in a variable.

    Making an iterator makes everything in its graph anew: the computation of the order, which takes longest,
    is kept out of it.

    Args:
        samples: how many rows there are.
        policy: the order.
    """

    def __init__(self, samples: int, policy: OrderPolicy) -> None:
        import tensorflow as tf

        self._samples, self._policy = samples, policy
        self.rows = tf.Variable(tf.range(samples, dtype=tf.int64), trainable=False)
        self._first = tf.Variable(0, dtype=tf.int64, trainable=False)
        traced = tf.autograph.experimental.do_not_convert(self._set)
        self._set_to = tf.function(traced, input_signature=[tf.TensorSpec([None], tf.int64)])

    def enter(self, number: int, step: int = 0) -> None:
        """Goes to a pass, counted from 0, and in it to a step: what comes before is left out."""
        if self._policy.shuffle != "none":
            self._set_to(self._policy.keys(number, number + 1)[0])
        self._first.assign(step * self._policy.batch_size)

    def left(self) -> Any:
        """The row numbers from the step on that was entered."""
        return self.rows.read_value()[self._first.read_value() :]

    def _set(self, keys: Any) -> None:
        import tensorflow as tf

        positions = tf.range(self._samples, dtype=tf.int64)
        self.rows.assign(_permuted(tf, positions, keys, self._samples))


def pass_dataset(
    arrays: Any, samples: int, policy: OrderPolicy, *, order: CurrentOrder, take: Take | None = None
) -> Any:
    """The batches of one pass, whichever `order` has entered when an iterator is made.

    For training functions that take several batches in one call: a stream would run over the pass's end.

    Args:
        arrays: as for `ordered_dataset`.
        samples: as for `ordered_dataset`.
        policy: as for `ordered_dataset`.
        order: the order of the present pass.
        take: as for `ordered_dataset`.
    """
    import tensorflow as tf

    pipeline = _Pipeline(arrays, samples, policy, 0, 0, take)
    cut = tf.autograph.experimental.do_not_convert(lambda _: pipeline.batches(order.left()))
    return pipeline.gathered(tf.data.Dataset.range(1).flat_map(cut))


class _Pipeline:
    """The parts that both ways of walking through the passes share."""

    def __init__(
        self,
        arrays: Any,
        samples: int,
        policy: OrderPolicy,
        first_step: int,
        last_step: int,
        take: Take | None,
    ) -> None:
        import tensorflow as tf

        self._tf = tf
        self._take = take or _gather
        self._arrays, self._samples, self._policy = arrays, samples, policy
        self.steps = policy.steps(samples)
        self.per_block = max(1, _BLOCK // policy.batch_size)
        self.blocks = -(-self.steps // self.per_block)
        self.first_pass, self.last_pass = first_step // self.steps, -(-last_step // self.steps)
        self._keys = tf.constant(policy.keys(self.first_pass, self.last_pass))

    def block_of(self, step: int) -> int:
        """The block that a step lies in, counted over all passes."""
        return step // self.steps * self.blocks + step % self.steps // self.per_block

    def indices(self, first_block: Any, last_block: Any) -> Any:
        """A dataset of the row numbers of each batch, from one block to another."""
        blocks = self._tf.data.Dataset.range(first_block, last_block)
        # AutoGraph has nothing to do here, and takes longer for it than the tracing.
        rows = self._tf.autograph.experimental.do_not_convert(self._rows)
        batches = self._tf.autograph.experimental.do_not_convert(self.batches)
        return blocks.map(rows).prefetch(1).flat_map(batches)

    def gathered(self, indices: Any) -> Any:
        """A dataset of the batches themselves."""
        tf = self._tf
        held = tf.data.Dataset.from_tensors(self._arrays).repeat()
        dataset = tf.data.Dataset.zip((indices, held)).map(
            lambda rows, data: self._take(data, rows), num_parallel_calls=tf.data.AUTOTUNE
        )
        options = tf.data.Options()
        options.experimental_optimization.apply_default_optimizations = False
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
        options.deterministic = True
        return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)

    def _rows(self, number: Any) -> Any:
        """The row numbers of one block, in their order."""
        tf, size = self._tf, self.per_block * self._policy.batch_size
        start = number % self.blocks * size
        positions = tf.range(start, tf.minimum(start + size, self._samples))
        if self._policy.shuffle == "none":
            return positions
        keys = self._keys[number // self.blocks - self.first_pass]
        return _permuted(tf, positions, keys, self._samples)

    def batches(self, rows: Any) -> Any:
        """Row numbers as a dataset of them, cut into batches: the full ones at once, the rest behind them."""
        tf, batch_size = self._tf, self._policy.batch_size
        full = tf.size(rows, out_type=tf.int64) // batch_size
        whole = tf.reshape(rows[: full * batch_size], [full, batch_size])
        dataset = tf.data.Dataset.from_tensor_slices(whole)
        if self._samples % batch_size:
            rest = rows[full * batch_size :]
            left = tf.cast(tf.size(rest, out_type=tf.int64) > 0, tf.int64)
            dataset = dataset.concatenate(tf.data.Dataset.from_tensors(rest).take(left))
        return dataset


def _permuted(tf: Any, positions: Any, keys: Any, samples: int) -> Any:
    operations = SimpleNamespace(
        right_shift=lambda v, n: tf.bitwise.right_shift(v, tf.constant(n, tf.int64)),
        bitwise_xor=tf.bitwise.bitwise_xor,
        bitwise_and=tf.bitwise.bitwise_and,
        where=tf.where,
    )
    domain = Domain.of(samples)
    walked = encrypt(positions, keys, domain, operations)
    if domain.a * domain.b == samples:
        return walked
    return tf.while_loop(
        lambda rows: tf.reduce_any(rows >= samples),
        lambda rows: [tf.where(rows >= samples, encrypt(rows, keys, domain, operations), rows)],
        [walked],
    )[0]


def _gather(data: Any, rows: Any) -> Any:
    import tensorflow as tf

    return tf.nest.map_structure(lambda array: tf.gather(array, rows, axis=0), data)
