"""The page of variations in a real browser: verdicts, distances, and variations that were not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keras_repro.report.html.vary_page import render_variations
from keras_repro.root_cause.explanation import Explanation
from keras_repro.workflows.vary.results import VariationOutcome, Variations

EVIL = "<script>document.title='owned'</script>"
REPEAT = VariationOutcome(name="repeat", changes="nothing", verdict="repeats")


def outcome(name: str, verdict: str = "repeats", **more: Any) -> VariationOutcome:
    fields = {"changes": f"what {name} is", "ledger": f"/home/me/vary/{name}/ledger.jsonl"} | more
    return VariationOutcome(name=name, verdict=verdict, **fields)  # type: ignore[arg-type]


ALL = (
    outcome("hash-seed"),
    outcome(
        "intra-threads",
        "differs",
        where="epoch 3 of fit 1",
        distance=2.9e-7,
        change="2 -> 1",
        pin="pin the threads",
        explanation=Explanation(cause="operation", layer="layers/0", layer_class="Conv2D", sentence="a sum"),
    ),
    outcome("xla", "could not run", reason="it failed; ledger kept in /home/me/vary/xla"),
    outcome("locale", "not tried", reason=f"no other locale {EVIL}\u202e", ledger=None),
    outcome("onednn", "differs", where="the start", distance=float("inf")),
    outcome("variables", "differs", where="evaluation 1"),
)


def page(tmp_path: Path, *outcomes: VariationOutcome, repeat: VariationOutcome = REPEAT) -> Path:
    variations = Variations(
        repeat=repeat, outcomes=outcomes, baseline="/home/me/vary/baseline/ledger.jsonl", notes=("a note",)
    )
    path = tmp_path / "vary.html"
    path.write_text(render_variations(variations, script="train.py --lr 0.1"))
    return path


def rows(browser: Any) -> dict[str, list[str]]:
    code = """
        const lines = [...document.querySelectorAll('.vary tbody tr')];
        const plain = (cell) => cell.textContent.replace(/\\s+/g, ' ').trim();
        return lines.map((line) => [...line.children].map(plain));
    """
    return {cells[0].split(" ")[0]: cells for cells in browser.run(code)}


def test_each_line_shows_the_result_of_a_variation(browser: Any, tmp_path: Path) -> None:
    browser.open(page(tmp_path, *ALL))
    assert browser.text("h1") == "Depends on 3 of 4 variations"
    assert "changes with intra-threads, onednn and variables." in browser.text(".lead")
    cells = rows(browser)
    assert list(cells) == ["repeat", "hash-seed", "intra-threads", "xla", "locale", "onednn", "variables"]
    assert cells["hash-seed"][1:] == ["repeats", "hash-seed/ledger.jsonl", ""]
    assert cells["intra-threads"] == [
        "intra-threads what intra-threads is (2 -> 1)",
        "differs operation in Conv2D layers/0: a sum to become independent of it: pin the threads",
        "epoch 3 of fit 1 intra-threads/ledger.jsonl",
        "2.9e-7 1 part in 10 million to 1 part in 1 million",
    ]
    assert cells["xla"][1] == "could not run it failed; ledger kept in xla"
    assert cells["locale"][1] == rf"not tried no other locale {EVIL}\u202e"
    assert cells["onednn"][3] == "inf as much as the weights themselves, or more"
    assert cells["variables"][3] == ""
    assert "/home/me" not in browser.run("return document.documentElement.outerHTML")


def test_bar_length_is_the_decade_of_the_distance(browser: Any, tmp_path: Path) -> None:
    distances = {"a": 1e-8, "b": 1e-5, "c": 1.0, "d": 1e300, "e": 5e-324}
    browser.open(page(tmp_path, *(outcome(n, "differs", distance=d) for n, d in distances.items())))
    code = """
        return [...document.querySelectorAll('.bar')].map((bar) => {
            const [whole, part] = bar.querySelectorAll('rect');
            return part.getBoundingClientRect().width / whole.getBoundingClientRect().width;
        });
    """
    assert browser.run(code) == pytest.approx([0.3 / 9, 3 / 9, 8 / 9, 1.0, 0.3 / 9], abs=0.01)


@pytest.mark.parametrize(
    ("outcomes", "repeat", "heading"),
    [
        (ALL[:1], REPEAT, "Reproducible"),
        ((), REPEAT, "Reproducible, nothing varied"),
        ((ALL[0], ALL[2]), REPEAT, "Reproducible where it could run"),
        (ALL, outcome("repeat", "differs", where="epoch 2"), "Not reproducible"),
        ((), outcome("repeat", "could not run", reason="it failed"), "Unknown"),
    ],
)
def test_verdict_is_the_heading(
    tmp_path: Path, outcomes: Any, repeat: VariationOutcome, heading: str
) -> None:
    text = page(tmp_path, *outcomes, repeat=repeat).read_text()
    assert f"<h1>{heading}</h1>" in text
    # If not even the repeat agrees, no variation is blamed.
    assert ("intra-threads" in text) == (heading.startswith("Depends"))


def test_what_was_not_tried_is_named_and_does_not_count(tmp_path: Path) -> None:
    some = page(tmp_path, ALL[0], ALL[3]).read_text()
    assert "under unchanged conditions and under 1 variation. Not tried: locale." in some
    nothing = page(tmp_path, ALL[3]).read_text()
    assert "<h1>Reproducible, nothing varied</h1>" in nothing
    assert ('class="verdict identical"' in some, 'class="verdict identical"' in nothing) == (True, False)


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_page_fits_the_screen_and_requests_nothing(browser: Any, tmp_path: Path, width: int) -> None:
    browser.open(page(tmp_path, *ALL), width=width)
    assert not browser.overflows()
    assert browser.complaints() == []
    assert browser.requests() == []
    assert browser.driver.title == "Depends on 3 of 4 variations: train.py --lr 0.1"
