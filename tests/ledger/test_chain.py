"""The chain commits to every record and its order; golden values are literal."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from keras_repro.ledger.chain import FIRST_LINK, fingerprint, next_link

NAMES = st.text(alphabet="a:=;12\n\0ß\ud800", max_size=6)


def test_link_has_its_golden_value() -> None:
    link = next_link("ab" * 32, "epoch 0 3", {"weights": "0" * 32, "metrics": "1" * 32})
    assert link == "200e92cd8770924c748028fb774d70688c1c78fba02cf9ff3f0f13092a678777"


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    st.tuples(st.text(max_size=5), st.dictionaries(NAMES, NAMES, max_size=3)),
    st.tuples(st.text(max_size=5), st.dictionaries(NAMES, NAMES, max_size=3)),
)
def test_different_records_have_different_links(a, b) -> None:  # type: ignore[no-untyped-def]
    assert (next_link(FIRST_LINK, *a) == next_link(FIRST_LINK, *b)) == (a == b)


def test_link_depends_on_the_previous_link() -> None:
    sections = {"weights": "0" * 32}
    assert next_link("00" * 32, "epoch 0 0", sections) != next_link("01" + "00" * 31, "epoch 0 0", sections)


def test_fingerprint_has_coverage_and_link() -> None:
    assert fingerprint("ab" * 32, "smr") == "kr1-smr-abababababababababababababababab"
    assert fingerprint("ab" * 32, "s", partial=True) == "kr1-s-abababababababababababababababab-partial"
