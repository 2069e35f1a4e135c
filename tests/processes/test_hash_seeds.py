"""Hash seeds under which the labels of a script have different orders."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_repro.processes.hash_seeds import hash_seeds


@pytest.fixture
def script(tmp_path: Path):
    def write(text: str) -> str:
        path = tmp_path / "train.py"
        path.write_text(text)
        return str(path)

    return write


def test_seeds_that_keep_the_order_of_a_set_are_skipped(script) -> None:
    # Python's hash of text under a seed is the same everywhere (SipHash).
    sides = script('sides = ["left", "right"]\n')
    assert [hash_seeds(sides, runs) for runs in (2, 3)] == [(1, 5), (1, 5, 2)]
    parts = script('parts = {"train": x, "test": y}\n')
    assert hash_seeds(parts, 2) == (1, 3)


def test_two_labels_get_both_orders(script) -> None:
    pairs = [("cat", "dog"), ("yes", "no"), ("spam", "ham"), ("left", "right"), ("train", "test")]
    for pair in pairs:
        seeds = hash_seeds(script(f"labels = np.random.choice({list(pair)}, 100)\n"), 2)
        assert seeds[0] == 1
        assert seeds[1] in (2, 3, 4, 5)
        assert _order(pair, seeds[0]) != _order(pair, seeds[1])


@pytest.mark.parametrize("text", ["x = 1\n", "names = ['one']\n", "def broken(:\n", "x = {1, 2}\n"])
def test_seeds_without_labels_count_up(script, text: str) -> None:
    assert hash_seeds(script(text), 3) == (1, 2, 3)
    assert hash_seeds(None, 2) == (1, 2)


def _order(labels: tuple[str, ...], seed: int) -> str:
    import subprocess
    import sys

    code = f"print(list(set({list(labels)!r})))"
    return subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONHASHSEED": str(seed)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
