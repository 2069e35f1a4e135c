"""The TensorFlow pipeline yields the batches of the order computed by NumPy, from any first step."""

import itertools
import re

import numpy as np
import pytest

from keras_repro.training.data.order.ordered_pipeline import (
    _BLOCK,
    CurrentOrder,
    OrderPolicy,
    ordered_dataset,
    pass_dataset,
)
from keras_repro.training.data.order.permutation import permutation

POLICY = OrderPolicy(seed=42, batch_size=3)


@pytest.fixture(scope="module")
def tf():
    import tensorflow

    return tensorflow


def expected(samples, policy, first_step, last_step):
    """Return the batches of some steps, computed by NumPy."""
    steps = policy.steps(samples)
    batches = []
    for number in range(first_step // steps, -(-last_step // steps)):
        order = permutation(samples, seed=policy.seed, epoch=number, shuffle=policy.shuffle)
        batches += [order[i : i + policy.batch_size] for i in range(0, samples, policy.batch_size)]
    start = first_step // steps * steps
    return batches[first_step - start : last_step - start]


def rows(dataset):
    return [batch.numpy() for batch in dataset]


def assert_same(batches, expected_batches):
    assert len(batches) == len(expected_batches)
    for step, (left, right) in enumerate(zip(batches, expected_batches, strict=True)):
        np.testing.assert_array_equal(left, right, err_msg=f"step {step}")


# Samples and batch size: partial batches, batches of one and of everything, and blocks that end inside a
# pass, at its end, and one sample after it.
SIZES = [
    (1, 1),
    (1, 5),
    (7, 2),
    (8, 2),
    (9, 10),
    (101, 100),
    (_BLOCK - 1, 1024),
    (_BLOCK, 1024),
    (_BLOCK + 1, 1024),
    (2 * _BLOCK + 5, 4096),
    (_BLOCK + 300, 1000),
    (3 * _BLOCK, _BLOCK),
]


@pytest.mark.parametrize(
    ("samples", "batch_size", "shuffle"),
    [(*size, "every_epoch") for size in SIZES] + [(7, 2, "once"), (_BLOCK + 1, 1024, "once")],
)
def test_batches_equal_those_of_numpy(tf, samples, batch_size, shuffle):
    policy = OrderPolicy(seed=5, batch_size=batch_size, shuffle=shuffle)
    last = 2 * policy.steps(samples) + min(2, policy.steps(samples))
    dataset = ordered_dataset(tf.range(samples), samples, policy, first_step=0, last_step=last)
    assert_same(rows(dataset), expected(samples, policy, 0, last))


def test_order_without_shuffling_is_that_of_the_data(tf):
    policy = OrderPolicy(seed=5, batch_size=4, shuffle="none")
    batches = rows(ordered_dataset(tf.range(10), 10, policy, first_step=1, last_step=6))
    assert [batch.tolist() for batch in batches] == [
        [4, 5, 6, 7],
        [8, 9],
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]


def test_batches_equal_golden_values(tf):
    batches = rows(ordered_dataset(tf.range(10), 10, POLICY, first_step=0, last_step=5))
    assert [batch.tolist() for batch in batches] == [[7, 6, 0], [8, 3, 9], [4, 2, 1], [5], [3, 8, 1]]


@pytest.mark.parametrize(
    ("samples", "batch_size", "entries"),
    [
        (7, 2, [1, 3, 4, 5, 8, 9]),  # 4 steps per pass
        (2 * _BLOCK + 5, 2048, [1, 3, 4, 8, 9, 13, 18]),  # 9 steps per pass, 4 per block
        (_BLOCK + 1, 4096, [2, 3, 5]),  # 3 steps per pass, 2 per block
    ],
)
def test_order_may_start_at_any_step(tf, samples, batch_size, entries):
    """A later start omits the earlier batches; more than two passes are read."""
    policy = OrderPolicy(seed=1, batch_size=batch_size)
    steps = policy.steps(samples)
    last = 2 * steps + 1
    expected_batches = expected(samples, policy, 0, last)
    for first in entries:
        dataset = ordered_dataset(tf.range(samples), samples, policy, first_step=first, last_step=last)
        assert_same(rows(dataset), expected_batches[first:])


def test_order_may_start_late_in_a_training(tf):
    dataset = ordered_dataset(tf.range(10), 10, POLICY, first_step=4_000_001, last_step=4_000_007)
    assert_same(rows(dataset), expected(10, POLICY, 4_000_001, 4_000_007))


def test_batches_do_not_depend_on_threads(tf):
    """Neither the number of threads nor a second reading changes the batches."""
    samples, policy = 3000, OrderPolicy(seed=8, batch_size=7)
    expected_batches = expected(samples, policy, 5, 600)
    for threads in (1, 16):
        dataset = ordered_dataset(tf.range(samples), samples, policy, first_step=5, last_step=600)
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        dataset = dataset.with_options(options)
        assert dataset.options().deterministic
        assert_same(rows(dataset), expected_batches)
        assert_same(rows(dataset), expected_batches)


def test_nested_structures_stay_together(tf):
    x = {"image": np.arange(60, dtype="float32").reshape(10, 2, 3), "text": np.array(list("abcdefghij"))}
    y = (np.arange(10, dtype="int64"), np.arange(10) % 3 == 0)
    arrays = tf.nest.map_structure(tf.constant, (x, y))
    batches = list(ordered_dataset(arrays, 10, POLICY, first_step=2, last_step=5))
    for (left, right), numbers in zip(batches, expected(10, POLICY, 2, 5), strict=True):
        np.testing.assert_array_equal(left["image"], x["image"][numbers])
        np.testing.assert_array_equal(left["text"], x["text"][numbers].astype("S"))
        np.testing.assert_array_equal(right[0], numbers)
        np.testing.assert_array_equal(right[1], y[1][numbers])


def test_data_that_is_not_an_array_is_read_by_take(tf):
    dataset = ordered_dataset(
        tf.constant(100, tf.int64),
        10,
        POLICY,
        first_step=0,
        last_step=3,
        take=lambda data, numbers: data + numbers,
    )
    assert_same(rows(dataset), [100 + batch for batch in expected(10, POLICY, 0, 3)])


def test_order_does_not_depend_on_global_seed(tf):
    """The order depends on no global seed and changes no generator."""
    expected_batches = expected(100, POLICY, 0, 40)
    for seed in (1, 2):
        tf.random.set_seed(seed)
        assert_same(
            rows(ordered_dataset(tf.range(100), 100, POLICY, first_step=0, last_step=40)), expected_batches
        )
    before = tf.random.get_global_generator().state.numpy().tolist()
    rows(ordered_dataset(tf.range(100), 100, POLICY, first_step=0, last_step=40))
    assert tf.random.get_global_generator().state.numpy().tolist() == before


@pytest.mark.parametrize(
    ("samples", "batch_size", "shuffle"),
    [
        (7, 2, "every_epoch"),
        (9, 10, "every_epoch"),
        (2 * _BLOCK + 5, 4096, "every_epoch"),
        (_BLOCK + 1, 1000, "once"),
        (7, 2, "none"),
    ],
)
def test_pass_dataset_yields_the_current_pass(tf, samples, batch_size, shuffle):
    policy = OrderPolicy(seed=6, batch_size=batch_size, shuffle=shuffle)
    steps = policy.steps(samples)
    order = CurrentOrder(samples, policy)
    dataset = pass_dataset(tf.range(samples), samples, policy, order=order)
    for number in (2, 4, 3, 2):
        order.start(number)
        assert_same(rows(dataset), expected(samples, policy, number * steps, (number + 1) * steps))


def test_partial_batch_counts_as_a_step():
    assert [OrderPolicy(seed=0, batch_size=3).steps(n) for n in (1, 2, 3, 4, 6, 7)] == [1, 1, 1, 2, 2, 3]


def test_digest_of_an_order_equals_golden_value():
    assert POLICY.digest(10, first_step=0, last_step=4) == "d44595b4e8c04cae70894726b1c09c93"


def test_digest_covers_everything_that_determines_the_order():
    def digest(samples=10, first=0, last=4, **policy):
        return OrderPolicy(**({"seed": 42, "batch_size": 3} | policy)).digest(
            samples, first_step=first, last_step=last
        )

    digests = {
        "base": digest(),
        "seed": digest(seed=43),
        "batch size": digest(batch_size=4, last=3),
        "batch size with as many steps": digest(batch_size=3, samples=9, last=3),
        "once": digest(shuffle="once"),
        "none": digest(shuffle="none"),
        "samples": digest(samples=11),
        "next epoch": digest(first=4, last=8),
        "first step": digest(first=1),
        "last step": digest(last=3),
        "two epochs": digest(last=8),
    }
    for (first, left), (second, right) in itertools.combinations(digests.items(), 2):
        assert left != right, f"{first} and {second}"
    assert all(re.fullmatch("[0-9a-f]{32}", d) for d in digests.values())
    assert digest() == digests["base"]


def test_equal_orders_have_equal_digests():
    """A setting that does not affect the order does not affect its digest."""
    once = OrderPolicy(seed=1, batch_size=2, shuffle="once")
    assert once.digest(6, first_step=0, last_step=3) == once.digest(6, first_step=3, last_step=6)
    none = [OrderPolicy(seed=s, batch_size=2, shuffle="none") for s in (1, 2)]
    assert none[0].digest(6, first_step=0, last_step=3) == none[1].digest(6, first_step=3, last_step=6)
