"""Checks of arguments: the name, the value and the expected values are in the message."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keras_repro.utils.arguments import one_of, whole_number


def test_whole_numbers_of_any_type_are_returned_as_int() -> None:
    number = whole_number("epochs", np.int64(3), least=0)
    assert (number, type(number)) == (3, int)
    assert whole_number("epochs", 0, least=0, most=0) == 0


@pytest.mark.parametrize("value", [0, 4, True, 1.0, "1", None])
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=f"epochs must be a whole number from 1 to 3, received {value!r}"):
        whole_number("epochs", value, least=1, most=3)


def test_unknown_choice_is_refused() -> None:
    one_of("keep", "all", ("all", "last"))
    with pytest.raises(ValueError, match="keep must be one of 'all', 'last', received 'first'"):
        one_of("keep", "first", ("all", "last"))
