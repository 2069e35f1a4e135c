"""Digests change with every relevant difference, and with no other; golden values are literal."""

import struct

import blake3
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_repro.storage.digest import (
    array_digest,
    content_digest,
    rows_digest,
    section_digest,
    tensor_digest,
)

BFLOAT16 = ml_dtypes.bfloat16


def float32_of(*bits):
    return np.array(bits, "<u4").view("<f4")


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        ("kernel", np.arange(3, dtype="float32"), "f740bbc42242c7e348706793f21a6ead"),
        ("layers/0/kernel", np.arange(6, dtype="float32").reshape(2, 3), "b746f3ce653da8a5920c66c656a33a42"),
        ("w", np.array([1, -2.5, 3], BFLOAT16), "7e11efb070ea3dc8297487526a3b165a"),
        ("w", np.float64(0.5), "1269a8e7d80f240feb405f469cc72861"),
        ("w", np.zeros((0, 3), "float32"), "567823b6de63a9cceb8968ccfe4cfd2e"),
        ("w", np.zeros((3, 0), "float32"), "4226eec35d53fc265c592448ddd3cdf4"),
        ("w", np.array(["a", "bc", ""]), "c12bb649387206720fd4b9bdcd6ae1b8"),
        ("w", np.array([True, False]), "c133730ba49bee31d3c6d41a9e42e993"),
        ("w", float32_of(0x7FC00000), "0513aedc00531bac4d7ef10ae0ae0b7a"),
        ("w", float32_of(0x7FC00001), "e0177a2d7e5fac30556830f1b8fd48c1"),
        ("w", np.array([0.0], "float32"), "1ddc0f75acbd13b11017ee1b45428e2a"),
        ("w", np.array([-0.0], "float32"), "e0506c9e002820a66c03059796533633"),
        ("w", np.array([1, 2], "int64"), "bebb3ad4056f6bdf258dc71541deb9e2"),
        ("w", np.array([1 + 2j], "complex64"), "e14172ce224d6fbaf47ebb393f70df3c"),
        ("", np.array([], "float32"), "21e660d740ba691f73d35d7fd947cc85"),
        ("größe", np.array([1], "uint8"), "5b431bdc00f1b5baf6633ca8b8e0d9eb"),
    ],
)
def test_arrays_have_golden_digests(name, array, expected):
    assert array_digest(name, array) == expected


def test_hashed_bytes_are_framed():
    content = blake3.blake3(struct.pack("<6f", 0, 1, 2, 3, 4, 5)).digest()
    framed = struct.pack("<q", 6) + b"tensor" + struct.pack("<q", 1) + b"k"
    framed += struct.pack("<q", 7) + b"float32" + struct.pack("<3q", 2, 2, 3) + content
    assert (
        array_digest("k", np.arange(6, dtype="float32").reshape(2, 3))
        == blake3.blake3(framed).hexdigest()[:32]
    )


@pytest.mark.parametrize("dtype", ["i2", "u4", "i8", "f2", "f4", "f8", "c8", "c16"])
def test_byte_order_and_memory_layout_do_not_matter(dtype):
    values = np.arange(24).reshape(4, 6).astype(f"<{dtype}")
    expected = array_digest("w", values)
    assert array_digest("w", values.astype(f">{dtype}")) == expected
    assert array_digest("w", np.asfortranarray(values)) == expected
    assert array_digest("w", np.repeat(values, 2, axis=1)[:, ::2]) == expected
    assert array_digest("w", values[::-1][::-1]) == expected
    assert array_digest("w", values[::-1]) != expected
    assert array_digest("w", values.T) != expected


def test_bfloat16_is_hashed_by_its_bits():
    values = np.array([[1.0, -2.5], [3.0, float("nan")]], BFLOAT16)
    content = content_digest(values.view(np.uint16))
    assert array_digest("w", values) == tensor_digest("w", "bfloat16", [2, 2], content)
    assert array_digest("w", values) != array_digest("w", values.view(np.uint16))
    assert array_digest("w", values) != array_digest("w", values.view(np.float16))


@pytest.mark.parametrize("bits", [0x7FC00000, 0xFFC00000, 0x7FC00001, 0x7FA00001, 0x7F800001])
def test_nan_equals_only_the_same_nan(bits):
    array = float32_of(0x3F800000, bits)
    assert array_digest("w", array) == array_digest("w", array.copy())
    # Byte-swapped without going through a float, which could make a signalling NaN quiet.
    assert array_digest("w", array.view("<u4").byteswap().view(">f4")) == array_digest("w", array)
    assert array_digest("w", float32_of(0x3F800000, bits ^ 2)) != array_digest("w", array)


def test_every_part_of_a_tensor_changes_the_digest():
    base = np.arange(6, dtype="float32")
    swapped = base.copy()
    swapped[[1, 4]] = swapped[[4, 1]]
    one_bit = base.copy()
    one_bit.view("u1")[3] ^= 1
    digests = {
        array_digest("w", base),
        array_digest("v", base),
        array_digest("w", swapped),
        array_digest("w", one_bit),
        array_digest("w", base.reshape(2, 3)),
        array_digest("w", base.reshape(3, 2)),
        array_digest("w", base.reshape(6, 1)),
        array_digest("w", base.view("int32")),
        array_digest("w", base.view("uint32")),
        array_digest("w", base.astype("float64")),
        array_digest("w", base[:5]),
    }
    assert len(digests) == 11


def test_scalar_differs_from_an_array_of_one():
    assert array_digest("w", np.float32(1)) != array_digest("w", np.ones(1, "float32"))
    assert array_digest("w", np.float32(1)) == array_digest("w", np.ones((), "float32"))


def test_strings_are_framed():
    assert array_digest("w", ["ab", "c"]) != array_digest("w", ["a", "bc"])
    assert array_digest("w", np.array(["a\0"], object)) != array_digest("w", ["a"])
    assert array_digest("w", [""]) != array_digest("w", np.array([], "U1"))
    # TensorFlow returns bytes, NumPy has text.
    assert array_digest("w", np.array([b"gr\xc3\xb6\xc3\x9fe"], object)) == array_digest("w", ["größe"])
    assert array_digest("w", np.array(["b\ud800"], object)) != array_digest(
        "w", np.array(["b\udfff"], object)
    )


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, 3_000_001])
def test_content_digest_is_the_same_on_one_core_and_on_all(size):
    data = np.resize(np.arange(251, dtype="uint8"), size)
    one, all_cores = content_digest(data, parallel=False), content_digest(data)
    assert one == all_cores == blake3.blake3(data.tobytes()).digest()


NAMES = st.text(alphabet="a:=;12\n\0ß\ud800", max_size=6)
DIGESTS = st.text(alphabet="0123456789abcdef", min_size=32, max_size=32)


def test_sections_have_golden_digests():
    assert section_digest({}) == "af1349b9f5f9a1a6a0404dea36dcc949"
    assert section_digest({"b": "1" * 32, "a": "0" * 32}) == "51ee313a668351db5353460c29ced8d3"
    assert section_digest({"a": "0" * 32, "b": "1" * 32}) == "51ee313a668351db5353460c29ced8d3"


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.dictionaries(NAMES, DIGESTS, max_size=4), st.dictionaries(NAMES, DIGESTS, max_size=4))
def test_different_sections_have_different_digests(a, b):
    assert (section_digest(a) == section_digest(b)) == (a == b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"a": "0" * 32, "b": "1" * 32}, {"a": "1" * 32, "b": "0" * 32}),
        ({f"a={'0' * 32};1:b": "1" * 32}, {"a": "0" * 32, "b": "1" * 32}),
        ({"1:a": "0" * 32}, {"a": "0" * 32}),
        ({"a": "0" * 32}, {"a": "0" * 32, "": "0" * 32}),
        ({"a;": "0" * 32}, {"a": "0" * 32}),
    ],
)
def test_names_cannot_imitate_framing(a, b):
    assert section_digest(a) != section_digest(b)


X = np.arange(12, dtype="float32").reshape(4, 3)


def test_rows_have_golden_digests():
    assert rows_digest([X]) == "eb12a149f2600db13881278c1f395cad"
    assert rows_digest([X, np.arange(4)]) == "6b591eae2c29a9bedeec874addcc2b9f"
    assert rows_digest([np.zeros((0, 3))]) == "9e33d3ceda35a1414026bdf6515edfdb"


def test_rows_without_a_digest_give_an_empty_text():
    assert rows_digest([]) == ""
    assert rows_digest([np.float32(1)]) == ""
    assert rows_digest([X, np.array(["a", "b", "c", "d"])]) == ""


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    st.integers(1, 40).flatmap(
        lambda rows: st.tuples(st.permutations(range(rows)), st.integers(0, 19), st.integers(0, 3))
    )
)
def test_rows_digest_ignores_the_order(case):
    """Widths in bytes that are no multiple of 8, and rows that occur several times, are among them."""
    order, width, values = case
    random = np.random.default_rng(len(order) * 100 + width)
    x = random.integers(0, values + 1, (len(order), width)).astype("uint8")
    y = np.arange(len(order)) % 3
    assert rows_digest([x[order], y[order]]) == rows_digest([x, y])


def test_rows_digest_changes_with_the_rows():
    y = np.array([0, 1, 0, 1])
    base = rows_digest([X, y])
    order = [2, 3, 0, 1]  # keeps y as it is
    assert rows_digest([X[order], y]) == base
    assert rows_digest([X, y[[1, 0, 2, 3]]]) != base, "labels went to other samples"
    assert rows_digest([X[[1, 0, 2, 3]], y]) != base
    assert rows_digest([y, X]) != base
    assert rows_digest([X]) != base
    assert rows_digest([X[:, [1, 0, 2]], y]) != base, "columns swapped"
    assert rows_digest([X[:3], y[:3]]) != base
    assert rows_digest([X[[0, 0, 1, 2, 3]], y[[0, 0, 1, 2, 3]]]) != base, "one row twice"
    flipped = X.copy()
    flipped[2, 1] = -flipped[2, 1]
    assert rows_digest([flipped, y]) != base


def test_number_of_duplicates_matters():
    a, b = np.array([1, 1, 2, 2, 2]), np.array([1, 1, 1, 2, 2])
    assert rows_digest([a]) != rows_digest([b])
    # A sum of hashes modulo 2 would not see two rows added twice.
    assert rows_digest([np.array([1, 3, 3])]) != rows_digest([np.array([1, 4, 4])])


def test_same_bytes_in_another_shape_or_dtype_are_other_rows():
    y = np.array([0, 1, 2], "int32")
    assert rows_digest([X[:3], y]) != rows_digest([X[:3], y[:, None]])
    assert rows_digest([y]) != rows_digest([y.view("float32")])
    assert rows_digest([np.zeros((2, 3))]) != rows_digest([np.zeros((2, 0))])
    assert rows_digest([y]) == rows_digest([y.astype(">i4")])


def test_rows_of_bfloat16_and_large_arrays_have_digests():
    assert rows_digest([X.astype(BFLOAT16)]) == rows_digest([X[::-1].astype(BFLOAT16)])
    # More than one block of rows.
    large = np.arange(5_000_000, dtype="uint32").reshape(-1, 5)
    assert rows_digest([large]) == rows_digest([large[::-1]])
    changed = large.copy()
    changed[-1, -1] += 1
    assert rows_digest([changed]) != rows_digest([large])
