"""Shortened and escaped texts for pages."""

from __future__ import annotations

import json

from keras_repro.report.text import cut, script_json, shorten_middle, shown


def test_numbers_are_shown_unchanged() -> None:
    assert shown(3) == 3


def test_long_texts_are_shortened() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "abc... (1 more character)"
    assert shorten_middle("a_long_name_of_layer_37", 15) == "a_long...yer_37"
    assert [len(shorten_middle("x" * n, 15)) for n in (14, 15, 16, 900)] == [14, 15, 15, 15]


def test_json_cannot_end_a_script_element() -> None:
    value = {"</script><!--&": ["\u2028", "\u6f22", 1.5, None]}
    text = script_json(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value
