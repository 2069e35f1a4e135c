"""Fixes applied to the texts of files, which are not written."""

from __future__ import annotations

from pathlib import Path

from keras_repro.source_code.fixed_files import FixedFiles
from keras_repro.utils.source_line import SourceLine

SEED = "keras.utils.set_random_seed(42)"


def at(path: Path, line: int) -> SourceLine:
    return SourceLine(file=str(path), line=line, code=path.read_text().splitlines()[line - 1])


def test_several_fixes_change_one_file(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    text = "import keras\na = hash(1)\nb = default_rng()\nc = default_rng()\n"
    script.write_text(text)
    files = FixedFiles(str(script))
    fixes = [
        (at(script, 2), "a = zlib.crc32(str(1).encode())"),
        (at(script, 4), "c = default_rng(42)"),
        (at(script, 3), f"{SEED}  # first of all"),
        (at(script, 2), f"{SEED}  # first of all"),
        (at(script, 3), "seed it"),
    ]
    assert files.apply(fixes) == [True, True, True, True, False]
    assert dict(files.contents()) == {
        str(script): b"import zlib\nimport keras\nkeras.utils.set_random_seed(42)\n"
        b"a = zlib.crc32(str(1).encode())\nb = default_rng()\nc = default_rng(42)\n"
    }
    assert [files.line_after(str(script), n) for n in (1, 2, 3, 4)] == [2, 4, 5, 6]
    assert script.read_text() == text


def test_call_goes_to_the_script_before_it_imports_the_line(tmp_path: Path) -> None:
    script, module = tmp_path / "train.py", tmp_path / "data.py"
    script.write_text("import data\nimport keras\n")
    module.write_text("x = np.random.rand(3)\n")
    files = FixedFiles(str(script))
    assert files.apply([(at(module, 1), f"{SEED}  # first of all")]) == [True]
    assert dict(files.contents()) == {
        str(script): f"import keras\n{SEED}\nimport data\nimport keras\n".encode()
    }
    assert files.line_after(str(module), 1) == 1


def test_line_is_changed_and_the_generator_is_seeded_first(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("import keras\nk = os.urandom(4)\n")
    files = FixedFiles(str(script))
    assert files.apply([(at(script, 2), f"k = random.randbytes(4)  # with {SEED} first of all")]) == [True]
    (content,) = dict(files.contents()).values()
    assert content.decode().splitlines() == ["import random", "import keras", SEED, "k = random.randbytes(4)"]


def test_encoding_of_the_file_is_kept(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_bytes("# coding: latin-1\nn = 'ä'\nr = default_rng()\n".encode("latin-1"))
    files = FixedFiles(str(script))
    source = SourceLine(file=str(script), line=3, code="r = default_rng()")
    assert files.apply([(source, "r = default_rng(42)")]) == [True]
    assert dict(files.contents()) == {
        str(script): "# coding: latin-1\nn = 'ä'\nr = default_rng(42)\n".encode("latin-1")
    }


def test_file_that_cannot_be_read_is_not_changed(tmp_path: Path) -> None:
    source = SourceLine(file=str(tmp_path / "gone.py"), line=1, code="r = default_rng()")
    assert FixedFiles(None).apply([(source, "r = default_rng(42)")]) == [False]
