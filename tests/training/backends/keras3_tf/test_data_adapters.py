"""Data that Keras treats as arrays, and its validation split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import pytest
import tensorflow as tf

from keras_repro.training.backends.keras3_tf import data_adapters


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.zeros((2, 2)), True),
        ([np.zeros(2), np.zeros(2)], True),
        ({"a": np.zeros(2)}, True),
        (tf.zeros(2), True),
        (pandas.DataFrame([[1.0]]), True),
        (tf.data.Dataset.range(3), False),
        ([1.0, 2.0], False),
        (None, True),
    ],
    ids=["array", "list", "dict", "tensor", "frame", "dataset", "numbers", "none"],
)
def test_array_like_data_is_recognized(given: Any, expected: bool) -> None:
    assert data_adapters.is_array_like(given) is expected


def test_validation_split_takes_the_last_samples() -> None:
    (x, y, none), (held_x, held_y, held_none) = data_adapters.split_off_validation(
        (np.arange(10), np.arange(10), None), 0.25
    )
    assert (x.tolist(), held_x.tolist()) == (list(range(7)), [7, 8, 9])
    assert (y.tolist(), held_y.tolist(), none, held_none) == (x.tolist(), held_x.tolist(), None, None)
