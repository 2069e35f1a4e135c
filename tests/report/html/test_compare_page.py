"""The page of two runs in a real browser: content, mark, keyboard and security."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ledger_builders import DATA, digest, record
from selenium.webdriver.common.keys import Keys

from keras_repro.cli.earlier_output import marked
from keras_repro.comparison.compare import compare
from keras_repro.comparison.distances.layer_distances import LayerDistances, distances
from keras_repro.comparison.distances.tensor_distance import exact_distance
from keras_repro.comparison.result import Grade
from keras_repro.ledger.schema import Header, Record
from keras_repro.ledger.writer import LedgerWriter
from keras_repro.report.html.compare_page import render_comparison
from keras_repro.storage.linear_sketch import sketch_rows
from keras_repro.storage.run_folder import SKETCHES_NAME
from keras_repro.storage.sketch_file import SketchedTensor, SketchWriter

DESK, PHONE, SMALL_PHONE = 1280, 390, 320
LAYERS, EPOCHS = 6, 12
DIVERGENCE = SimpleNamespace(layer=3, epoch=7)  # the epoch counted from 1
EVIL = "<script>document.title='owned'</script>"
ENVIRONMENT: dict[str, Any] = {
    "packages": {"keras": "3.15.1", "numpy": "2.4.6"},
    "frameworks": {"tensorflow": "2.21.0", "keras": "3.15.1"},
    "cpu": {"model": "EPYC 9", "logical": 8, "available": 2, "flags": [f"flag{i}" for i in range(40)]},
}


def write_run(
    folder: Path,
    *,
    layers: Sequence[str] = tuple(f"dense_{i}" for i in range(LAYERS)),
    epochs: int = EPOCHS,
    diverges_at: Any = None,
    sketches: bool = True,
    metrics: dict[str, Any] | None = None,
    **header: Any,
) -> Path:
    """Write a run; since `diverges_at`, the weights of one layer are slightly different."""
    names = [f"layers/{i}/kernel" for i in range(len(layers))]
    shapes = {n: ["float32", [8, 8], f"model/{title}/kernel"] for n, title in zip(names, layers, strict=True)}
    fields: dict[str, Any] = {"coverage": "sm", "created": f"today {folder.name}", "environment": ENVIRONMENT}
    with (
        LedgerWriter.create(folder, Header(**(fields | header))) as ledger,
        SketchWriter(folder / SKETCHES_NAME) as writer,
    ):
        extra = {"arguments": {"epochs": epochs}, "data": DATA}
        ledger.append(Record(kind="fit", fit=0, sections={"fit": digest("fit")}, extra=extra))
        for epoch in range(epochs + 1):
            off = [
                diverges_at is not None and i == diverges_at.layer and epoch >= diverges_at.epoch
                for i in range(len(layers))
            ]
            texts = {n: f"{n} {epoch} {o}" for n, o in zip(names, off, strict=True)}
            loss = 1.0 / (epoch + 1) + (1e-7 if any(off) else 0.0)
            logs = ({"loss": loss, "accuracy": 0.5} | (metrics or {})) if epoch else {}
            number = {"epoch": epoch - 1} if epoch else {}
            written = ledger.append(
                record(
                    "epoch" if epoch else "start",
                    {"weights": texts} | ({"metrics": {"loss": repr(loss)}} if epoch else {}),
                    fit=0,
                    shapes={} if epoch else shapes,
                    metrics=logs,
                    **number,
                )
            )
            values = np.full((8, 8), epoch + 1, "float32")
            rows = [
                (
                    SketchedTensor(n, "float32", (8, 8)),
                    sketch_rows(values * np.float32(1 + 1e-5 * o), "float32"),
                )
                for n, o in zip(names, off, strict=True)
            ]
            if sketches:
                writer.append(written.position, written.sections["weights"], rows)
        ledger.append(Record(kind="end", fit=0, extra={"status": "finished"}))
    return folder


def write_page(folder: Path, a: Path, b: Path, known: LayerDistances | None = None) -> Path:
    comparison = compare(a, b)
    text = render_comparison(comparison, distances(*comparison.ledgers) if known is None else known)
    page = folder / "out.html"
    page.write_text(text)
    return page


@pytest.fixture(scope="module")
def middle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two runs that diverge in the middle."""
    folder = tmp_path_factory.mktemp("middle")
    b = write_run(
        folder / "b", diverges_at=DIVERGENCE, environment=ENVIRONMENT | {"cpu": {"model": "Xeon 8"}}
    )
    return write_page(folder, write_run(folder / "a"), b)


@pytest.fixture(scope="module")
def same(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two identical runs."""
    folder = tmp_path_factory.mktemp("same")
    return write_page(folder, write_run(folder / "a"), write_run(folder / "b"))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 100 layers x 300 epochs."""
    folder = tmp_path_factory.mktemp("large")
    shape: dict[str, Any] = {"layers": [f"dense_{i}" for i in range(100)], "epochs": 300, "sketches": False}
    runs = write_run(folder / "a", **shape), write_run(folder / "b", diverges_at=_place(37, 150), **shape)
    return write_page(folder, *runs, grown(100, 300, layer=37, epoch=150))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two malicious ledgers."""
    folder = tmp_path_factory.mktemp("hostile")
    names = [EVIL, '"><img src=x onerror=alert(1)>', "</svg></style>", "{{ 7 * 7 }}", "x" * 100_000]
    names = [n.replace("/", "\u2215") for n in names] + ["a\u202eb\u200bc\x1b[2J\x00\ud800d"]
    runs = [
        write_run(
            folder / name,
            layers=names,
            epochs=3,
            diverges_at=place,
            created=EVIL,
            environment={EVIL: f"{EVIL} {name}", "cpu": {"model": f"{EVIL} {name}"}},
            policies={EVIL: "x" * 100_000 + name},
            command={"script": EVIL},
            metrics={
                EVIL: 0.5,
                "loss": "nan",
                "huge": 10**400,
                "largest": 1.7e308,
                "list": [1],
                "none": None,
            },
        )
        for name, place in (("a", None), ("<b>b", _place(0, 2)))
    ]
    return write_page(folder, *runs)


def _place(layer: int, epoch: int) -> Any:
    return SimpleNamespace(layer=layer, epoch=epoch)


def grown(layers: int, epochs: int, *, layer: int, epoch: int) -> LayerDistances:
    """Make distances that grow and spread from one layer to all."""
    since = np.arange(epochs + 1)[None] - epoch - np.abs(np.arange(layers) - layer)[:, None]
    values = np.where(since < 0, 0.0, 1e-8 * 10 ** (since / 20.0))
    return LayerDistances(
        epochs=("start", *(f"epoch {n + 1}" for n in range(epochs))),
        layers=tuple(f"layers/{i}" for i in range(layers)),
        titles=tuple(f"dense_{i}" for i in range(layers)),
        values=values,
        exact=values == 0,
    )


def classes_at(browser: Any, row: int, column: int, *, rows: int, columns: int) -> list[str]:
    """Return the classes of the cells that are painted at a position."""
    code = """
        const cells = document.querySelector('#cells');
        cells.scrollIntoView({block: 'center', behavior: 'instant'});
        const box = cells.getBoundingClientRect();
        const [x, y] = [box.left + arguments[0] * box.width, box.top + arguments[1] * box.height];
        const found = document.elementsFromPoint(x, y).filter((e) => e.closest('.known path'));
        return found.map((e) => e.getAttribute('class'));
    """
    classes: list[str] = browser.run(code, (column + 0.5) / columns, (row + 0.5) / rows)
    return classes


def focused(browser: Any) -> dict[str, Any]:
    """Return the cell that has the focus."""
    code = """
        const cell = document.activeElement;
        return [cell.dataset.row, cell.dataset.column, cell.getAttribute('aria-label'),
                cell.getAttribute('role'), getComputedStyle(cell).outlineStyle];
    """
    row, column, label, role, outline = browser.run(code)
    return {"at": (int(row), int(column)), "label": label, "role": role, "outline": outline}


# Content.


def test_verdict_and_fingerprints_are_at_the_top(browser: Any, middle: Path) -> None:
    browser.open(middle)
    assert browser.text("h1") == "The runs diverged"
    assert browser.text(".lead").startswith(
        "At epoch 7/12: weights differ, first in layers/3/kernel (model/dense_3/kernel)"
    )
    fingerprints = [f.rstrip() for f in re.findall(r"kr1-sm-[0-9a-f]{32}", browser.text(".runs"))]
    folder = middle.parent
    assert fingerprints == [r["fingerprint"] for r in compare(folder / "a", folder / "b").runs]
    assert len(set(fingerprints)) == 2
    assert browser.box("h1")["bottom"] < 200


def test_marked_cell_is_the_divergence(browser: Any, middle: Path) -> None:
    """The mark has the position of the cell, and only that cell is painted as different."""
    for width in (DESK, PHONE):
        browser.open(middle, width=width)
        cells, mark = browser.box("#cells"), browser.box("#mark")
        columns = EPOCHS + 1
        expected = cells["left"] + DIVERGENCE.epoch * cells["width"] / columns
        assert mark["left"] == pytest.approx(expected, abs=2)
        assert mark["width"] == pytest.approx(cells["width"] / columns, abs=4)
        assert mark["top"] == pytest.approx(cells["top"] + DIVERGENCE.layer * cells["height"] / LAYERS, abs=2)
        assert mark["height"] == pytest.approx(cells["height"] / LAYERS, abs=4)
    browser.open(middle)
    shape = {"rows": LAYERS, "columns": EPOCHS + 1}
    painted = {
        (row, column): classes_at(browser, row, column, **shape)
        for row in range(LAYERS)
        for column in range(EPOCHS + 1)
    }
    # 1e-5 of the weights, by an estimate.
    assert {
        tuple(c) for at, c in painted.items() if at[0] == DIVERGENCE.layer and at[1] >= DIVERGENCE.epoch
    } <= {
        ("k2",),
        ("k3",),
        ("k4",),
    }
    assert {
        tuple(c) for at, c in painted.items() if at[0] != DIVERGENCE.layer or at[1] < DIVERGENCE.epoch
    } == {("k0",)}
    assert "diverged: epoch 7" in browser.text("#heat")


def test_mark_moves_with_the_divergence(browser: Any, tmp_path: Path) -> None:
    runs = write_run(tmp_path / "a"), write_run(tmp_path / "b", diverges_at=_place(5, 11))
    browser.open(write_page(tmp_path, *runs))
    cells, mark = browser.box("#cells"), browser.box("#mark")
    assert mark["left"] == pytest.approx(cells["left"] + 11 * cells["width"] / (EPOCHS + 1), abs=2)
    assert mark["bottom"] == pytest.approx(cells["bottom"], abs=2)


def test_identical_runs_have_no_mark(browser: Any, same: Path) -> None:
    browser.open(same)
    assert browser.text("h1") == "Identical, bit for bit"
    assert browser.run("return document.querySelector('#mark, .differs')") is None
    code = "return [...document.querySelectorAll('.known path')].map((p) => p.getAttribute('class'))"
    assert browser.run(code) == ["k0"]
    assert "Every layer is identical, bit for bit, at every epoch." in browser.text()
    assert "Identical in both runs, bit for bit, at 12 epochs." in browser.text()
    assert "No digest differs." in browser.text()


def test_runs_of_different_modes_are_not_comparable(browser: Any, tmp_path: Path) -> None:
    runs = write_run(tmp_path / "a"), write_run(tmp_path / "b", mode="enforced")
    browser.open(write_page(tmp_path, *runs))
    assert browser.text("h1") == "Not comparable"
    assert "one run is observed and the other enforced" in browser.text(".lead")
    assert browser.run("return document.querySelector('#mark')") is None


def test_divergence_without_distances_is_shown(browser: Any, tmp_path: Path) -> None:
    """The position of the divergence is known even if distances are not."""
    runs = [
        write_run(tmp_path / n, diverges_at=p, sketches=False) for n, p in (("a", None), ("b", DIVERGENCE))
    ]
    page = write_page(tmp_path, *runs)
    browser.open(page)
    shape = {"rows": LAYERS, "columns": EPOCHS + 1}
    assert classes_at(browser, DIVERGENCE.layer, DIVERGENCE.epoch, **shape) == []  # hatched
    assert classes_at(browser, DIVERGENCE.layer, DIVERGENCE.epoch - 1, **shape) == ["k0"]
    assert "distance unknown" in browser.text("#readout")
    text = render_comparison(compare(*runs), None)
    assert 'id="heat"' not in text
    assert "The runs diverged" in text


def test_evidence_and_environment_are_shown(browser: Any, middle: Path) -> None:
    browser.open(middle)
    evidence = browser.text("[aria-labelledby=evidence-heading]")
    a, b = (digest(f"layers/3/kernel 7 {off}") for off in (False, True))
    assert evidence.index(a) < evidence.index(b)
    assert "layers/3/kernel" in evidence
    environment = browser.text("[aria-labelledby=environment-heading]")
    assert re.search(r"cpu model\s+can change bits\s*EPYC 9\s*Xeon 8", environment)
    assert "environment" in browser.text(".facts")  # the cause


def test_curves_of_both_runs_share_an_axis(browser: Any, middle: Path) -> None:
    browser.open(middle)
    boxes = [browser.box(f".chart {run}") for run in (".a", ".b")]
    assert boxes[0]["width"] == pytest.approx(boxes[1]["width"], abs=1)
    assert boxes[0]["width"] > 500
    assert "The curves differ from epoch 7 on, at 6 of 12 epochs, by 1e-7 at most" in browser.text()
    # The first epoch of the curve is below its column of the map.
    cells = browser.box("#cells")
    first = cells["left"] + 1.5 * cells["width"] / (EPOCHS + 1)
    assert boxes[0]["left"] == pytest.approx(first, abs=1)


def test_grade_is_shown(tmp_path: Path) -> None:
    runs = write_run(tmp_path / "a"), write_run(tmp_path / "b", diverges_at=DIVERGENCE)
    graded = replace(compare(*runs), grade=Grade("ulp", "3 units in the last place <at most>"))
    text = render_comparison(graded, distances(*graded.ledgers))
    assert "ulp: 3 units in the last place &lt;at most&gt;" in text


def test_snapshots_show_single_elements(tmp_path: Path) -> None:
    runs = write_run(tmp_path / "a"), write_run(tmp_path / "b", diverges_at=DIVERGENCE)
    comparison = compare(*runs)
    assert comparison.how_far is not None
    exact = exact_distance("layers/3/kernel", np.array([1.0, 2.0], "f4"), np.array([1.0, 2.5], "f4"))
    far = replace(comparison.how_far, end=replace(comparison.how_far.end, tensors=(exact,)))
    text = render_comparison(replace(comparison, how_far=far), distances(*comparison.ledgers))
    row = re.sub("<[^>]*>", "|", text[text.index("Element by element, from snapshots: epoch 12") :])
    assert re.search(r"layers/3/kernel\|+1 of 2\|+0.5 at \[1\]\|+2,097,152\|+2.1e6\|", row)


def test_damaged_sketches_do_not_prevent_the_page(runs: tuple[Path, Path], tmp_path: Path) -> None:
    sketches = runs[1] / SKETCHES_NAME
    data = bytearray(sketches.read_bytes())
    data[len(data) // 2] ^= 1
    sketches.write_bytes(data)
    done = cli("compare", *runs, "--html", tmp_path / "out.html")
    assert (done.returncode, done.stderr) == (1, "")
    text = (tmp_path / "out.html").read_text()
    assert "The runs diverged" in text
    assert "Unknown: the recorded sketches cannot be read" in text
    assert "is damaged" in text
    assert str(tmp_path) not in text


def test_page_has_no_path_of_this_machine(middle: Path) -> None:
    text = middle.read_text()
    assert str(middle.parent) not in text
    assert text.isascii()


def test_shorter_run_is_named_without_its_path(tmp_path: Path) -> None:
    runs = write_run(tmp_path / "a"), write_run(tmp_path / "b", epochs=4)
    comparison = compare(*runs)
    text = render_comparison(comparison, distances(*comparison.ledgers))
    assert str(tmp_path) not in text
    assert "Run B has no value at 8 epochs, first at epoch 5." in text


# Keyboard, touch, screen readers.


def test_keyboard_moves_over_the_cells(browser: Any, middle: Path) -> None:
    browser.open(middle)
    browser.keys(Keys.TAB)
    cell = focused(browser)
    assert cell["at"] == (DIVERGENCE.layer, DIVERGENCE.epoch)
    assert cell["role"] == "gridcell"
    assert cell["outline"] == "solid"
    ledgers = compare(middle.parent / "a", middle.parent / "b").ledgers
    known = distances(*ledgers).values[DIVERGENCE.layer, DIVERGENCE.epoch]
    shown = re.fullmatch(
        r"dense_3 \(layers/3\), epoch 7: relative distance (\S+), estimated .*", cell["label"]
    )
    assert shown is not None
    assert float(shown[1]) == pytest.approx(known, rel=0.005)
    assert browser.text("#readout") == cell["label"]
    steps = [
        ([Keys.ARROW_LEFT], (3, 6)),
        ([Keys.ARROW_UP], (2, 6)),
        ([Keys.HOME], (2, 0)),
        ([Keys.ARROW_LEFT], (2, 0)),
        ([Keys.PAGE_DOWN], (5, 0)),
        ([Keys.END], (5, 12)),
        ([Keys.ARROW_DOWN, Keys.ARROW_RIGHT], (5, 12)),
        ([Keys.PAGE_UP], (0, 12)),
        (["p"], (3, 7)),
    ]
    for keys, at in steps:
        browser.keys(*keys)
        assert focused(browser)["at"] == at
    browser.keys(Keys.HOME)
    assert focused(browser)["label"] == "dense_3 (layers/3), start: identical, bit for bit"
    browser.keys(Keys.TAB)
    assert browser.run("return document.activeElement.dataset.move") == "left"
    browser.keys(Keys.ENTER)  # a button moves, and keeps the focus
    browser.keys(Keys.TAB, Keys.SPACE)
    assert browser.run("return document.querySelector('.cell').dataset.column") == "1"
    assert browser.text("#readout").startswith("dense_3 (layers/3), epoch 1")


def test_touch_selects_a_cell(browser: Any, middle: Path) -> None:
    browser.open(middle, width=PHONE)
    browser.run("document.querySelector('#cells').scrollIntoView({block: 'center'})")
    box = browser.box("#cells")
    x, y = box["left"] + 8.5 * box["width"] / (EPOCHS + 1), box["top"] + 1.5 * box["height"] / LAYERS
    for kind in ("mousePressed", "mouseReleased"):
        browser.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    assert focused(browser)["at"] == (1, 8)
    assert (
        browser.run("return Math.min(...[...document.querySelectorAll('button')].map((b) => b.offsetHeight))")
        >= 44
    )


def test_screen_readers_get_the_content(browser: Any, middle: Path) -> None:
    browser.open(middle)
    nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
    named = {(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if not n["ignored"]}
    roles = {role for role, _ in named}
    assert {"grid", "gridcell", "main", "heading", "table"} <= roles
    images = [name for role, name in named if role in ("image", "img")]
    assert any("The runs diverged: epoch 7, first in dense_3" in name for name in images)
    assert any(
        name.startswith("loss of both runs by epoch. The curves differ from epoch 7 on") for name in images
    )
    assert not [n for n in named if n[0] == "button" and not n[1]]


def test_page_without_scripts_shows_the_facts(browser: Any, middle: Path) -> None:
    browser.open(middle, scripts=False)
    assert not browser.is_seen("#inspect")
    assert browser.is_seen("#mark")
    assert classes_at(browser, DIVERGENCE.layer, DIVERGENCE.epoch, rows=LAYERS, columns=EPOCHS + 1) != []
    row = browser.text(".layers tbody tr")
    assert re.match(r"dense_3 layers/3epoch 7\S", row)


# Screens, paper, colours.


@pytest.mark.parametrize("width", [SMALL_PHONE, PHONE, DESK])
@pytest.mark.parametrize("name", ["middle", "same", "large", "hostile"])
def test_page_fits_the_screen(browser: Any, request: pytest.FixtureRequest, name: str, width: int) -> None:
    browser.open(request.getfixturevalue(name), width=width)
    assert browser.run("return innerWidth") == width
    assert not browser.overflows()


def test_page_that_is_too_wide_is_detected(browser: Any, middle: Path, tmp_path: Path) -> None:
    page = tmp_path / "wide.html"
    page.write_text(middle.read_text().replace("main { max-width: 1080px;", "main { min-width: 1500px;"))
    page.write_text(
        re.sub(r"<meta http-equiv[^>]*>", "", page.read_text())
    )  # its hash no longer matches the style
    browser.open(page)
    assert browser.overflows()


def test_page_can_be_printed(browser: Any, middle: Path, large: Path) -> None:
    for page, most in ((middle, 6), (large, 6)):
        browser.open(page)
        pdf = browser.pdf()
        assert pdf.startswith(b"%PDF-")
        assert 1 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= most
        browser.send("Emulation.setEmulatedMedia", media="print", features=[])
        assert not browser.is_seen("#inspect")
        assert browser.is_seen("#heat")
        assert (
            browser.run("return getComputedStyle(document.querySelector('.known')).printColorAdjust")
            == "exact"
        )


def test_colours_are_ordered_by_lightness(browser: Any, middle: Path) -> None:
    """The order is visible without hues and in black-and-white print."""

    def lightness(dark: bool) -> list[float]:
        browser.open(middle, dark=dark)
        code = """
            const style = getComputedStyle(document.documentElement);
            return [1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => style.getPropertyValue(`--k${n}`));
        """
        lightnesses = []
        for colour in browser.run(code):
            red, green, blue = (int(colour.strip()[i : i + 2], 16) / 255 for i in (1, 3, 5))
            linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
            luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
            lightnesses.append(116 * luminance ** (1 / 3) - 16)  # L* of CIELAB
        return lightnesses

    for dark in (False, True):
        steps = np.diff(lightness(dark)) * (1 if dark else -1)
        assert (steps > 4).all()
        assert browser.run("return getComputedStyle(document.body).backgroundColor") == (
            "rgb(20, 24, 29)" if dark else "rgb(255, 255, 255)"
        )


# Security.


@pytest.mark.parametrize("name", ["middle", "same", "large", "hostile"])
def test_page_causes_no_error_and_no_request(browser: Any, request: pytest.FixtureRequest, name: str) -> None:
    browser.open(request.getfixturevalue(name))
    browser.keys(Keys.TAB, Keys.ARROW_RIGHT)
    assert browser.complaints() == []
    assert browser.requests() == []


ASKS = '<img src="https://example.invalid/x.png"><link rel="stylesheet" href="https://example.invalid/x.css">'
RUNS = "<script>document.title='owned'</script><p onclick=\"x()\" style='color:red'>x</p>"


def test_policy_blocks_unescaped_content(browser: Any, middle: Path, tmp_path: Path) -> None:
    """If a value were not escaped, the policy would still block scripts and requests."""
    page = tmp_path / "broken.html"
    broken = middle.read_text().replace("</main>", f"{ASKS}{RUNS}</main>")
    page.write_text(broken)
    browser.open(page)
    assert browser.requests() == []
    assert browser.driver.title.startswith("The runs diverged")
    complaints = browser.complaints()
    assert len([c for c in complaints if "Content Security Policy" in c]) >= 4
    # Without the policy, the script runs and the request is sent.
    page.write_text(re.sub(r"<meta http-equiv[^>]*>", "", broken))
    browser.open(page)
    assert [u for u in browser.requests() if u.startswith("https://example.invalid/")] != []
    assert browser.driver.title == "owned"


def test_text_from_ledgers_stays_text(browser: Any, hostile: Path) -> None:
    browser.open(hostile)
    assert browser.driver.title == "The runs diverged: a and <b>b"
    tags = "return [...document.querySelectorAll('script, img, b, iframe, style')].map((e) => e.tagName)"
    assert sorted(set(browser.run(tags))) == ["B", "SCRIPT", "STYLE"]  # a tensor's name is bold
    assert browser.run("return document.querySelectorAll('script').length") == 2
    assert browser.run("return [...document.querySelectorAll('b')].every((b) => !b.children.length)")
    evil = EVIL.replace("/", "\u2215")
    assert evil in browser.text(".layers")
    assert EVIL in browser.text("[aria-labelledby=environment-heading]")
    assert "{{ 7 * 7 }}" in browser.text(".gutter")
    assert browser.text("#readout").startswith(evil)
    whole = browser.run("return document.documentElement.outerHTML")
    assert not re.search("[\u202e\u200b\x1b\x00\ud800]", whole)
    browser.keys(Keys.TAB, Keys.PAGE_DOWN)
    assert focused(browser)["label"].startswith(r"a\u202eb\u200bc\x1b[2J\x00\ud800d (layers/5), ")


def test_huge_names_are_shortened(hostile: Path) -> None:
    text = hostile.read_text()
    assert len(text) < 100_000
    assert "more characters)" in text


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_values_that_are_no_numbers_are_left_out_of_the_curve(
    browser: Any, tmp_path: Path, value: str
) -> None:
    runs = [write_run(tmp_path / n, metrics={"loss": value, "accuracy": None}) for n in "ab"]
    browser.open(write_page(tmp_path, *runs))
    word = {"nan": "not a number (NaN)", "inf": "infinite"}[value]
    assert f"Run A: {word} from epoch 1 on, 12 epochs left out." in browser.text()
    assert browser.complaints() == []


def test_distances_that_are_no_numbers_are_shown(browser: Any, tmp_path: Path) -> None:
    runs = write_run(tmp_path / "a"), write_run(tmp_path / "b", diverges_at=DIVERGENCE)
    known = distances(*compare(*runs).ledgers)
    known.values[0] = [math.inf, -1.0, 1e-300, 1e300, math.nan, *known.values[0, 5:]]
    known.exact[0] = False
    browser.open(write_page(tmp_path, *runs, known))
    browser.keys(Keys.TAB, Keys.PAGE_UP, Keys.HOME)
    labels = []
    for _ in range(5):
        labels.append(focused(browser)["label"].partition(": ")[2])
        browser.keys(Keys.ARROW_RIGHT)
    assert labels == [
        "relative distance Infinity, estimated from sketches (as much as the weights themselves, or more)",
        "distance unknown",
        "relative distance 1.18e-38, estimated from sketches (less than 1 part in 10 million: rounding)",
        "relative distance 3.40e+38, estimated from sketches (as much as the weights themselves, or more)",
        "distance unknown",
    ]
    assert browser.complaints() == []


# Size.


def test_large_page_is_complete_and_small(browser: Any, large: Path) -> None:
    assert large.stat().st_size < 2_000_000
    browser.open(large)
    cells, mark = browser.box("#cells"), browser.box("#mark")
    assert mark["left"] == pytest.approx(cells["left"] + 150 * cells["width"] / 301, abs=2)
    assert mark["top"] == pytest.approx(cells["top"] + 37 * cells["height"] / 100, abs=2)
    shape = {"rows": 100, "columns": 301}
    for row, column in ((37, 149), (37, 150), (36, 150), (36, 151), (0, 186), (0, 187), (99, 300)):
        steps = column - 150 - abs(row - 37)
        exponent = -8 + steps / 20
        expected = "k0" if steps < 0 else f"k{max(1, math.floor(exponent + 1e-9) + 9)}"
        assert classes_at(browser, row, column, **shape) == [expected], (row, column)
    browser.keys(Keys.TAB, Keys.END)
    assert focused(browser)["at"] == (37, 300)
    assert focused(browser)["label"].startswith("dense_37 (layers/37), epoch 300: relative distance 0.316")


def test_ten_thousand_layers_are_grouped(browser: Any, tmp_path: Path) -> None:
    runs = write_run(tmp_path / "a"), write_run(tmp_path / "b", diverges_at=DIVERGENCE)
    page = write_page(tmp_path, *runs, grown(10_000, 500, layer=3, epoch=7))
    assert page.stat().st_size < 2_000_000
    browser.open(page)
    assert "10,000 layers: each row shows 50 neighbouring layers" in browser.text()
    assert "501 epochs: each column shows 2 epochs" in browser.text()
    browser.keys(Keys.TAB)
    assert focused(browser)["at"] == (0, 3)
    assert focused(browser)["label"].startswith(
        "dense_0 to dense_49 (layers/0 to layers/49), epoch 6 to epoch 7"
    )
    assert browser.complaints() == []


# The command.


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    return write_run(tmp_path / "a"), write_run(tmp_path / "b", diverges_at=DIVERGENCE)


def cli(*arguments: object, code: str = "") -> Any:
    program = f"{code}\nimport sys\nfrom keras_repro.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_command_writes_the_page(runs: tuple[Path, Path], tmp_path: Path) -> None:
    page, data = tmp_path / "out.html", tmp_path / "out.json"
    check = "import atexit, sys; atexit.register(lambda: print('tensorflow' in sys.modules, file=sys.stderr))"
    done = cli("compare", *runs, "--html", page, "--json", data, code=check)
    assert (done.returncode, done.stderr) == (1, "False\n")
    assert done.stdout.splitlines()[-1].startswith("diverged: at epoch 7/12")
    comparison = compare(*runs)
    assert page.read_text() == marked(render_comparison(comparison, distances(*comparison.ledgers)))
    assert json.loads(data.read_text())["verdict"] == "diverged"


def test_missing_jinja_names_the_extra(runs: tuple[Path, Path], tmp_path: Path) -> None:
    done = cli(
        "compare", *runs, "--html", tmp_path / "out.html", code="import sys; sys.modules['jinja2'] = None"
    )
    assert done.returncode == 2
    assert done.stderr == (
        "keras-repro: an HTML page needs jinja2; install it with: pip install 'keras_repro[report]'\n"
    )


def test_unwritable_file_is_an_error(runs: tuple[Path, Path], tmp_path: Path) -> None:
    done = cli("compare", *runs, "--html", tmp_path / "nowhere" / "out.html")
    assert done.returncode == 2
    assert (
        done.stderr == f"keras-repro: cannot write {tmp_path}/nowhere/out.html: No such file or directory\n"
    )
