"""State outside of the model, in scripts that are killed and continued by a new process."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SCRIPTS, Answer
from forkserver import ForkServer

from keras_repro.ledger.reader import open_ledger

Values = dict[str, list[float]]  # by the step


@pytest.fixture
def run(
    command: Callable[..., Answer], here: Path, forkserver: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    """Call `keras-repro run --resume`; return the exit code and what the script writes to standard error."""
    monkeypatch.setattr("keras_repro.cli.commands.run.LAUNCHER", forkserver.launcher)
    shutil.copy(SCRIPTS / "hidden_settings.py", here)

    def call(folder: str, script: str, moment: str) -> tuple[int, str]:
        before = forkserver.messages()
        shutil.copy(SCRIPTS / script, here)
        answer = command("run", "--resume", "--run-dir", folder, script, moment)
        return answer.code, answer.err + forkserver.messages().removeprefix(before)

    return call


def taken_values() -> Values:
    """Return the values that the script has written; they are removed."""
    lines = Path("values.txt").read_text().splitlines()
    Path("values.txt").unlink()
    return {step: ast.literal_eval(values) for step, _, values in (line.partition(" ") for line in lines)}


@pytest.mark.parametrize("script", ["hidden_exact.py", "hidden_traced.py"])
def test_state_is_the_same_in_a_new_process(run: Callable[..., tuple[int, str]], script: str) -> None:
    code, messages = run("whole", script, "never")
    assert code == 0, messages
    whole = taken_values()
    assert list(whole) == ["0.0", "0.1", "0.2", "1.0", "1.1", "1.2", "2.0", "2.1", "2.2"]
    for place in zip(*whole.values(), strict=True):
        assert place[4] != place[0], "a place that does not change hides nothing"
    code, messages = run("run", script, "1.1")
    assert code == 137, messages
    assert "no snapshot contains" not in messages
    assert taken_values() == {step: whole[step] for step in list(whole)[:5]}
    code, messages = run("run", script, "1.1")
    assert code == 0, messages
    assert taken_values() == {step: whole[step] for step in list(whole)[4:]}
    assert open_ledger("run").fingerprint == open_ledger("whole").fingerprint


# What the message names, in the order of the names in the script.
REFUSED = (
    "hidden_refused.py.averages.mean ({mean}) has changed, and is not a plain value",
    "hidden_refused.py.averages.pair ({mean}) has changed, and is not a plain value",
    "hidden_refused.py.counts ({first}) is an iterator, which has a position",
    "hidden_refused.py.fractions.0 has changed, and is not a plain value",
    "hidden_refused.py.functions ({first}) has changed, and is not a plain value",
    "hidden_refused.py.generator ({first}) was made during the training",
    "hidden_refused.py.letters ({first}) is an iterator, which has a position",
    "hidden_refused.py.masked ({first}) has changed, and is not a plain value",
    "hidden_refused.py.numbers ({first}) is an iterator, which has a position",
    "hidden_refused.py.objects ({first}) has changed, and is not a plain value",
    "hidden_refused.py.tables ({first}) has changed, and is not a plain value",
    "callback Watches.words ({watches}) is an iterator, which has a position",
)


def test_state_that_cannot_be_saved_is_refused_in_a_new_process(run: Callable[..., tuple[int, str]]) -> None:
    lines = (SCRIPTS / "hidden_refused.py").read_text().splitlines()
    marks = {"first": "def loss", "mean": "    def __init__", "watches": "    def on_train_begin"}
    places = {}
    for name, beginning in marks.items():
        number = next(n for n, line in enumerate(lines, 1) if line.startswith(beginning))
        places[name] = f"hidden_refused.py:{number}"
    code, messages = run("run", "hidden_refused.py", "1.1")
    assert code == 137, messages
    for text in REFUSED:
        assert f"so a resume is refused: {text.format(**places)}. Keep it in" in messages
    taken_values()
    before = list(open_ledger("run").records())
    code, messages = run("run", "hidden_refused.py", "1.1")
    assert code == 2, messages
    assert "the run cannot be resumed exactly; nothing was trained:" in messages
    for text in REFUSED:
        assert f"\n  {text.format(**places)}\n" in messages
    assert not Path("values.txt").exists(), "a step was trained"
    assert list(open_ledger("run").records()) == before
