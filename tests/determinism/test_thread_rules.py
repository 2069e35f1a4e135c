"""The thread rules, for shapes that were measured to give the same and other bits."""

import pytest

from keras_repro.determinism.operation_catalogue import MOVING, known_types
from keras_repro.determinism.thread_rules import (
    ALWAYS,
    COUNTS,
    invariant_thread_counts,
    is_the_same_always,
    needs_shapes,
)

# Results of `tests/portable/probe.py --thorough` with 1, 2, 3, 4, 8 and 16 threads.
SAME = [
    ("MatMul", [(16, 784), (784, 32)], (16, 32)),
    ("MatMul", [(784, 16), (784, 32)], (16, 32)),  # transposed
    ("_FusedMatMul", [(16, 3000), (3000, 10), (10,)], (16, 10)),
    ("Sum", [(30_000,), (1,)], ()),
    ("Sum", [(100_000, 8), ()], (8,)),
    ("BiasAddGrad", [(8, 12, 12, 10)], (10,)),
    ("Tanh", [None], None),
    ("Reshape", [None, None], None),
]
DIFFERENT = [
    ("MatMul", [(1000, 3), (3, 1000)], (1000, 1000)),
    ("MatMul", [(382, 1951), (1951, 2)], (382, 2)),
    ("MatMul", [(100, 20_000), (20_000, 5)], (100, 5)),
    ("Sum", [(200_000,), (1,)], ()),
    ("Prod", [(60_000, 1), ()], (1,)),
    ("BiasAddGrad", [(5000, 32)], (32,)),
    ("Conv2DBackpropFilter", [(8, 12, 12, 3), (4,), (8, 12, 12, 8)], (3, 3, 3, 8)),
    ("MatMul", [(None, 4), (4, 4)], (None, 4)),
    ("MatMul", [None, None], None),
    ("NobodyKnows", [(2,)], (2,)),
]


@pytest.mark.parametrize(("operation", "inputs", "output"), SAME)
def test_small_shapes_give_the_same_bits(operation, inputs, output):
    assert invariant_thread_counts(operation, inputs, output) == COUNTS


@pytest.mark.parametrize(("operation", "inputs", "output"), DIFFERENT)
def test_large_or_unknown_shapes_have_no_guarantee(operation, inputs, output):
    assert invariant_thread_counts(operation, inputs, output) == (1,)


@pytest.mark.parametrize(
    ("inputs", "output", "sizes", "numbers"),
    [
        ([(4, 5, 6), (4, 6, 7)], (4, 5, 7), {}, (1, 2, 4)),
        ([(32, 8, 8), (32, 8, 8)], (32, 8, 8), {}, (1, 2, 4, 8, 16)),
        ([(8, 2, 5, 6), (8, 2, 6, 5)], (8, 2, 5, 5), {"samples": 8, "last": 3}, (1, 2)),
        ([(8, 5, 6), (6, 5)], (8, 5, 5), {"samples": 8, "last": 6}, (1, 2)),
        ([(8, 5, 6), (6, 5)], (8, 5, 5), {"samples": 16, "last": 4}, (1,)),
        ([(1, 1, 512), (1, 512, 16)], (1, 1, 16), {}, (1,)),
        ([(0, 5, 6), (0, 6, 7)], (0, 5, 7), {}, COUNTS),
        ([(None, 5, 6), (None, 6, 7)], (None, 5, 7), {}, (1,)),
    ],
)
def test_batched_products_are_shared_out_evenly(inputs, output, sizes, numbers):
    """Each thread must get the same number of whole products."""
    assert invariant_thread_counts("BatchMatMulV2", inputs, output, **sizes) == numbers


def test_every_listed_type_has_a_thread_rule():
    assert known_types() >= ALWAYS
    assert not ALWAYS & MOVING
    assert not any(needs_shapes(o) and is_the_same_always(o) for o in known_types())
