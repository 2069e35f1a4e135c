"""The names, statements and sets of a script, from its source alone."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_repro.source_code.dataflow import SourceModel

Script = Callable[[str], Path]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Write a script; return its path."""

    def write(text: str) -> Path:
        path = tmp_path / "train.py"
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        return path

    return write


def test_names_of_sets_are_recognized(script: Script) -> None:
    file = script("""
        a = {'x', 'y'} | more
        b = set(words)
        c = [1]
        d = {Node(i) for i in c}
        self.e = frozenset(c)
    """)
    code = SourceModel({str(file)})
    assert code.sets() == {"a", "b", "self.e"}
    assert code.sets(of_objects=True) == {"d"}


def test_statement_has_all_its_lines(script: Script) -> None:
    file = script("""
        layers = [
            Dense(3),
            Dropout(0.5),
        ]
        for layer in layers:
            pass
    """)
    code = SourceModel({str(file)})
    assert code.lines_of(str(file), 2) == [
        (1, "layers = ["),
        (2, "Dense(3),"),
        (3, "Dropout(0.5),"),
        (4, "]"),
    ]
    assert code.lines_of(str(file), 5) == []


def test_set_method_of_an_event_is_not_a_set(script: Script) -> None:
    assert not SourceModel({str(script("stop = threading.Event()\nstop.set()\n"))}).uses_hashes()
    assert SourceModel({str(script("names = list(set(words))\n"))}).uses_hashes()


def test_single_matching_statement_is_returned(script: Script) -> None:
    file = script("""
        options = tf.data.Options()
        options.deterministic = False
    """)
    statement = SourceModel({str(file)}).only_statement(r"deterministic\s*=\s*False")
    assert statement is not None
    assert statement.to_dict() == {"file": str(file), "line": 2, "code": "options.deterministic = False"}
    file = script("a.deterministic = False\nb.deterministic = False\n")
    assert SourceModel({str(file)}).only_statement(r"deterministic\s*=\s*False") is None
