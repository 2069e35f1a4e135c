"""Modules are found without running them."""

from pathlib import Path

from keras_repro.provenance.module_lookup import is_there, main_file


def test_local_modules_are_found_without_running_them(here: Path) -> None:
    for name in ("package", "package/inner"):
        (here / name).mkdir()
        (here / name / "__init__.py").write_text("raise SystemExit('it was run')")
    (here / "package" / "__main__.py").write_text("")
    (here / "package" / "inner" / "train.py").write_text("")
    (here / "single.py").write_text("raise SystemExit('it was run')")
    assert is_there("package.inner.train")
    assert not is_there("nothing_of_that_name")
    assert main_file("package") == here / "package" / "__main__.py"
    assert main_file("package.inner.train") == here / "package" / "inner" / "train.py"
    assert main_file("single") == here / "single.py"
    assert main_file("package.inner") is None
    assert main_file("package.nothing") is None
    assert main_file("nothing_of_that_name") is None


def test_installed_modules_are_found() -> None:
    path = main_file("json.tool")
    assert path is not None
    assert path.parts[-2:] == ("json", "tool.py")
    assert is_there("keras_repro")
