"""The statement at a line, its text, and the names in it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from keras_repro.source_code.statements import SourceFile, statement_text, statements_of

TEXT = """\
import os

@decorated(
    1,
)
class Net:
    rate = 1; size = 2

    def step(self, x,
             y=3):
        total = [
            self.rng.normal(x),
            y,
        ]
        for item in total:
            # a comment
            if item: return item

match size:
    case 2:
        size = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "train.py"
    path.write_text(TEXT)
    return str(path)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (1, "import os"),
        (2, ""),
        (3, "@decorated("),
        (6, "class Net:"),
        (7, "rate = 1; size = 2"),
        (10, "def step(self, x, y=3):"),
        (12, "total = [ self.rng.normal(x), y, ]"),
        (15, "for item in total: # a comment"),
        (16, "for item in total: # a comment"),
        (17, "if item: return item"),
        (21, "size = 3"),
        (99, ""),
    ],
)
def test_statement_at_a_line_has_its_text(file: str, line: int, text: str) -> None:
    assert statement_text(file, line) == text


def test_innermost_statement_is_found(file: str) -> None:
    source = SourceFile(file)
    assert isinstance(source.statement_at(13), ast.Assign)
    assert isinstance(source.statement_at(17), ast.Return)
    assert isinstance(source.statement_at(4), type(None))
    assert list(source.statement_lines(12)) == [11, 12, 13, 14]


def test_statements_have_their_names_and_no_definitions(file: str) -> None:
    statements = statements_of(file)
    assert set(statements) == {1, 7, 11, 12, 13, 14, 15, 17, 19, 21}
    assert statements[13].line == 11
    assert ("self", "rng", "normal") in statements[12].names
    assert (statements[1].imports, statements[15].loops, statements[17].decides) == (True, True, False)


@pytest.mark.parametrize("content", [b"x = (", b"\xff\xfe", b"\0"])
def test_unparsable_files_have_lines_but_no_statements(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.py"
    path.write_bytes(content)
    assert statements_of(str(path)) == {}
    assert statement_text(str(path), 1) == content.decode(errors="replace")


def test_missing_file_has_no_statements(tmp_path: Path) -> None:
    assert statements_of(str(tmp_path / "none.py")) == {}
    assert statement_text(str(tmp_path / "none.py"), 1) == ""
