"""Bytes of texts for a hash."""

from keras_repro.utils.framing import encoded, framed


def test_length_comes_before_the_bytes() -> None:
    assert framed(b"ab") == b"\x02\0\0\0\0\0\0\0ab"
    assert framed(b"") == bytes(8)


def test_half_a_surrogate_pair_has_bytes() -> None:
    assert encoded("é\ud83c") == b"\xc3\xa9\xed\xa0\xbc"
