"""The order of samples: literal values, complete, different in each epoch, without a preferred position."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keras_repro.storage.digest import array_digest
from keras_repro.training.data.order.permutation import (
    LARGEST,
    SHUFFLES,
    Domain,
    encrypt,
    epoch_keys,
    permutation,
    permuted,
)


@pytest.mark.parametrize(
    ("size", "seed", "epoch", "shuffle", "expected"),
    [
        (10, 42, 0, "every_epoch", [7, 6, 0, 8, 3, 9, 4, 2, 1, 5]),
        (10, 42, 1, "every_epoch", [3, 8, 1, 0, 9, 7, 4, 2, 5, 6]),
        (10, 42, 7, "once", [0, 4, 8, 6, 5, 3, 7, 2, 1, 9]),
        (10, 42, 7, "none", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (16, 0, 0, "every_epoch", [15, 8, 4, 1, 5, 0, 6, 3, 11, 14, 10, 12, 7, 9, 2, 13]),
        (17, 2**32 - 1, 3, "every_epoch", [11, 6, 15, 2, 1, 14, 3, 4, 13, 7, 12, 0, 8, 16, 5, 9, 10]),
        (1, 1, 0, "every_epoch", [0]),
        (2, 1, 0, "every_epoch", [1, 0]),
        (2, 1, 1, "every_epoch", [0, 1]),
    ],
)
def test_permutations_equal_golden_values(size, seed, epoch, shuffle, expected):
    assert permutation(size, seed=seed, epoch=epoch, shuffle=shuffle).tolist() == expected


def test_large_permutations_equal_golden_values():
    whole = permutation(60_000, seed=42, epoch=9)
    assert array_digest("p", whole) == "0b9b604d3eeba1cedd9ce22d0e357513"
    ends = [0, 1, LARGEST - 1]
    positions = permuted(LARGEST, seed=42, epoch=0, position=ends).tolist()
    assert positions == [400426068047, 699686233702, 141814168160]
    positions = permuted(10**9 + 7, seed=42, epoch=0, position=[0, 1, 10**9]).tolist()
    assert positions == [593464785, 961276721, 847024678]


def test_keys_equal_golden_values():
    assert epoch_keys(42, "every_epoch", 0).tolist() == [
        *[4124904111, 4090851252, 465353112, 2945832068, 1034915692],
        *[3073379465, 3885137503, 2905736073, 4270463065, 1445316488],
    ]


# Sizes of 1 and 2, and sizes near squares, at which a factor of the cipher's domain grows.
EDGES = [1, 2, 3, 4, 5, 8, 9, 10, 15, 16, 17, 24, 25, 26, 4095, 4096, 4097, 4899, 4900, 4901]


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_each_sample_occurs_once(size, shuffle):
    for epoch in range(3):
        order = permutation(size, seed=7, epoch=epoch, shuffle=shuffle)
        assert order.dtype == np.int64
        assert np.array_equal(np.sort(order), np.arange(size))


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.integers(1, 5000), st.integers(0, 2**32 - 1), st.integers(0, 10**6))
@example(1, 0, 0)
@example(2, 2**32 - 1, 10**6)
def test_each_sample_occurs_once_for_any_size(size, seed, epoch):
    order = permutation(size, seed=seed, epoch=epoch)
    assert np.array_equal(np.sort(order), np.arange(size))


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.integers(1, LARGEST))
@example(LARGEST)
@example(LARGEST - 1)
def test_domain_is_hardly_larger_than_size(size):
    domain = Domain.of(size)
    assert size <= domain.a * domain.b < size + domain.a
    assert 0 <= domain.a - math.isqrt(size) <= 1


@pytest.mark.parametrize("size", [1, 2, 12, 13, 30, 1000])
def test_cipher_is_a_permutation_of_its_domain(size):
    domain = Domain.of(size)
    values = np.arange(domain.a * domain.b)
    encrypted = encrypt(values, epoch_keys(5, "every_epoch", 2), domain)
    assert np.array_equal(np.sort(encrypted), values)


@pytest.mark.parametrize("size", [0, -1, LARGEST + 1])
def test_sizes_out_of_range_are_refused(size):
    with pytest.raises(ValueError, match=r"size must be from 1 to 2\*\*40, received"):
        Domain.of(size)


def test_every_epoch_changes_the_order_and_once_keeps_it():
    def orders(shuffle):
        return [permutation(50, seed=3, epoch=e, shuffle=shuffle).tolist() for e in range(20)]

    every, once, none = (orders(shuffle) for shuffle in ("every_epoch", "once", "none"))
    assert len(set(map(tuple, every))) == 20
    assert len(set(map(tuple, once))) == 1
    assert once[0] not in every
    assert all(order == list(range(50)) for order in none)
    assert once[0] != list(range(50))


def test_seed_and_epoch_are_not_added():
    """Seed 1 in epoch 2 differs from seed 2 in epoch 1, and (1, 12) from (11, 2)."""
    drawn = [(1, 2), (2, 1), (3, 0), (0, 3), (1, 12), (11, 2), (112, 0)]
    keys = {tuple(epoch_keys(seed, "every_epoch", epoch).tolist()) for seed, epoch in drawn}
    assert len(keys) == len(drawn)


@pytest.mark.parametrize("size", [1, 2, 97, 100, 10_001])
@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_single_positions_equal_the_whole_order(size, shuffle):
    whole = permutation(size, seed=9, epoch=4, shuffle=shuffle)
    for position in {0, size // 3, size - 1}:
        single = permuted(size, seed=9, epoch=4, position=position, shuffle=shuffle)
        assert type(single) is int
        assert single == whole[position]
    some = np.arange(size)[::-3].reshape(1, -1)
    several = permuted(size, seed=9, epoch=4, position=some, shuffle=shuffle)
    assert np.array_equal(several, whole[some])


def chi_square(counts):
    expected = np.mean(counts)
    return float(np.sum((np.asarray(counts) - expected) ** 2) / expected)


@pytest.mark.parametrize(
    ("size", "bound"),
    # The bounds are the chi-square quantiles at 0.9999 for size! - 1 degrees of freedom.
    [(2, 15.14), (3, 25.74), (4, 57.07), (5, 185.09)],
)
def test_all_orders_of_few_samples_are_equally_likely(size, bound):
    orders = dict.fromkeys(itertools.permutations(range(size)), 0)
    for epoch in range(40 * len(orders)):
        orders[tuple(permutation(size, seed=2026, epoch=epoch).tolist())] += 1
    assert chi_square(list(orders.values())) < bound


@pytest.mark.parametrize("size", [97, 100, 128])
def test_no_position_is_preferred(size):
    """Positions and successors of a sample: quantile 0.9999 for `size - 1` degrees of freedom."""
    epochs = 4000
    orders = np.stack([permutation(size, seed=11, epoch=e) for e in range(epochs)])
    bound = {97: 156.26, 100: 160.06, 128: 194.98}[size]
    for position in (0, 1, size // 2, size - 1):
        assert chi_square(np.bincount(orders[:, position], minlength=size)) < bound
    for sample in (0, size - 1):
        places = np.argmax(orders == sample, axis=1)
        assert chi_square(np.bincount(places, minlength=size)) < bound
    steps = (orders[:, 1] - orders[:, 0]) % size
    assert chi_square(np.bincount(steps, minlength=size)[1:]) < bound


def test_neighbours_in_the_data_are_separated():
    order = permutation(50_000, seed=1, epoch=0)
    together = int(np.sum(np.abs(np.diff(order)) == 1))
    assert together <= 12  # 2 are expected; more than 12 occur once in ten million
    correlation = float(np.corrcoef(order, np.arange(50_000))[0, 1])
    assert abs(correlation) < 0.02
    fixed = int(np.sum(order == np.arange(50_000)))
    assert fixed <= 10  # 1 is expected
