"""A table: each command, each option that writes a file, and what already has the name of the file."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_table import COMMANDS, WRITES, in_use, tree, write_run

from keras_repro.cli.arguments import parse
from keras_repro.cli.earlier_output import marked
from keras_repro.cli.main import main
from keras_repro.cli.output_files import check_output_files, write_text
from keras_repro.errors import ReproError

LINK, FOREIGN = "it is a link, which is not followed", "it exists, and keras_repro did not write it"
# By place: the content of the file, None if it is no such file, and why it is refused.
REFUSED = {
    "s.py": ("import keras\n", FOREIGN),
    "notes.txt": ("notes", FOREIGN),
    "empty": ("", FOREIGN),
    "other.json": ('{\n  "format": 1,\n  "mine": true\n}\n', FOREIGN),
    "damaged.json": ('{\n  "format": 1,\n  "verdict": "identical",\n', FOREIGN),
    "page.html": ("<!doctype html>\n<p>mine</p>\n", FOREIGN),
    "picture.png": ("\x89PNG\r\n\x1a\n tEXtSoftware\0Painter", FOREIGN),
    "a/ledger.jsonl": (None, "this is the name of ledgers"),
    "copy.jsonl": (None, FOREIGN),
    "new/ledger.jsonl": (None, "this is the name of ledgers"),
    "used/lock": (None, FOREIGN),
    "new": (None, "it is a folder"),
    "to-notes": (None, LINK),
    "to-result": (None, LINK),
    "dangling": (None, LINK),
    "fifo": (None, "it is not a regular file"),
    ".keras_repro": (None, "it is the folder of the runs"),
    "nowhere/out.json": (None, "No such file or directory"),
    "notes.txt/out.json": (None, "Not a directory"),
    "x" * 256: (None, "File name too long"),
}
INTACT = {
    "result.json": '{\n  "format": 1,\n  "verdict": "identical",\n  "runs": []\n}\n',
    "report.md": marked("# Results\n"),
}
EDITED = {
    "changed.json": '{\n  "format": 1,\n  "verdict": "diverged",\n  "runs": [] }\n',
    "changed.md": marked("# Results\n").replace("Results", "My results"),
    "longer.html": marked("<p>page</p>\n") + "more\n",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with everything that may stand in an output's place; a run folder is in use."""
    monkeypatch.chdir(tmp_path)
    files = {name: text for name, (text, _) in REFUSED.items() if text is not None}
    for name, text in (files | INTACT | EDITED | {"given.csv": INTACT["result.json"]}).items():
        (tmp_path / name).write_text(text, encoding="latin-1")
    for name in ("a", "b"):
        write_run(tmp_path / name, changed=name)
    (tmp_path / "copy.jsonl").write_bytes((tmp_path / "a" / "ledger.jsonl").read_bytes())
    for name in ("new", "used"):
        (tmp_path / name).mkdir()
    for name, target in (("to-notes", "notes.txt"), ("to-result", "result.json"), ("dangling", "nowhere")):
        (tmp_path / name).symlink_to(target)
    os.mkfifo(tmp_path / "fifo")
    before = signal.getsignal(signal.SIGTERM)
    with in_use(tmp_path / "used"):
        yield tmp_path
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("command", "option"), WRITES)
def test_other_files_are_refused_also_with_force(
    project: Path, command: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(project)
    for place, (_, reason) in REFUSED.items():
        for force in ([], ["--force"]):
            assert main([*COMMANDS[command], option, place, *force]) == 2, place
            message = capsys.readouterr().err
            assert reason in message or "it is an input of this command" in message, (place, message)
            assert len(message.splitlines()) == 1
            assert tree(project) == before, place


@pytest.mark.parametrize(("command", "option"), WRITES)
def test_own_files_and_new_ones_are_accepted(project: Path, command: str, option: str) -> None:
    """Nothing changes before the end of the command."""
    before = tree(project)
    words = [*COMMANDS[command], option]
    for place in ("out", "new/out", *INTACT):
        check_output_files(parse([*words, place]))
    for place in EDITED:
        with pytest.raises(ReproError, match=r"it was edited since .*, or add --force"):
            check_output_files(parse([*words, place]))
        check_output_files(parse([*words, place, "--force"]))
    assert tree(project) == before


def test_inputs_are_refused_although_a_command_wrote_them(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(project)
    for command in ("run", "verify", "vary"):
        assert main([*COMMANDS[command], "--json", "./given.csv", "--force"]) == 2
        assert "given.csv: it is an input of this command" in capsys.readouterr().err
    assert main(["verify", "s.py", "--run-dir", "runs/a", "--json", "runs"]) == 2
    assert "runs: it is the folder of the runs" in capsys.readouterr().err
    assert main(["compare", "a", "b", "--json", "new/../out", "--html", "out"]) == 2
    assert "cannot write out: both --json and --html name it" in capsys.readouterr().err
    # FILE was forgotten: the script is taken for it.
    assert main(["verify", "--json", "s.py", "given.csv"]) == 2
    assert f"cannot write s.py: {FOREIGN}" in capsys.readouterr().err
    assert main(["diagnose", "a", "b", "--json", "a/ledger.jsonl"]) == 2
    assert tree(project) == before


def test_results_replace_results(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command recognizes what it has written; a failed command leaves the earlier result."""
    before = tree(project)
    pages = ["--html", "page", "--png", "picture"]
    for _ in range(2):
        assert main(["compare", "a", "b", "--json", "comparison", *pages]) == 1, capsys.readouterr().err
        assert main(["report", "a", "-o", "paper", "--json", "information"]) == 0
        assert main(["doctor", "--json", "switches"]) in (0, 1)
    written = {"comparison", "page", "picture", "information", "paper", "switches"}
    after = tree(project)
    assert {name for name in after if after[name] != before.get(name)} == written
    assert json.loads(Path("comparison").read_text())["verdict"] == "diverged"
    capsys.readouterr()
    assert main(["report", "a"]) == 0
    assert Path("paper").read_text() == marked(capsys.readouterr().out)
    for name in written:  # each may also be replaced by another command
        check_output_files(parse(["report", "a", "-o", name]))
    Path("paper").write_text("edited " + Path("paper").read_text())
    edited = tree(project)
    assert main(["report", "a", "-o", "paper"]) == 2
    assert main(["compare", "a", "nowhere", "--json", "comparison"]) == 2
    assert tree(project) == edited
    os.chmod("paper", 0o600)
    assert main(["report", "a", "-o", "paper", "--force"]) == 0
    assert tree(project) == after | {"paper": ("file", 0o100600, after["paper"][2])}


def test_file_that_appears_during_the_command_stays(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = parse(["report", "a", "-o", "out"])
    check_output_files(options)
    Path("out").write_text("of another program")
    before = tree(project)
    with pytest.raises(ReproError, match=f"cannot write out: {FOREIGN}"):
        write_text(options, "out", "result")
    assert tree(project) == before
