"""The catalogue of variations, and its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_repro.errors import ReproError
from keras_repro.workflows.vary.catalogue import CATALOGUE, chosen

PAGE = Path(__file__).parents[3] / "docs" / "vary.md"


def test_page_lists_the_catalogue() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert rows == [f"| `{v.name}` | {v.changes} | {v.why} | {v.pin} |" for v in CATALOGUE]


def test_names_are_chosen_in_the_order_of_the_catalogue() -> None:
    assert [v.name for v in chosen("locale, THREADS,hash_seed,locale")] == [
        "hash-seed",
        "intra-threads",
        "inter-threads",
        "locale",
    ]
    assert chosen("all") == CATALOGUE


def test_thread_variations_run_alone() -> None:
    assert {v.name for v in CATALOGUE if v.alone} == {"intra-threads", "inter-threads", "cpu-count"}


@pytest.mark.parametrize(
    ("text", "message"),
    [("thread", "there is no variation 'thread'; choose among: hash-seed, "), (" ,", "needs a list")],
)
def test_unknown_names_are_refused(text: str, message: str) -> None:
    with pytest.raises(ReproError, match=message):
        chosen(text)
