"""Secrets in a script's arguments: none gets into a run folder, or into a page that is published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import Answer

from keras_repro.ledger.reader import open_ledger

TRAINS = """
import os, sys
from small import X, Y, build
print(sys.argv[1:])
build().fit(X, Y, epochs=1, verbose=0)
"""

# Arguments, each with what must not be published of it.
STYLES = [
    ("-p hunter-one", "hunter-one"),
    ("-phunter-two", "hunter-two"),
    ("--pat xyzzyplugh", "xyzzyplugh"),
    ("--pin 471100", "471100"),
    ("--ssn 078-05-1120", "078-05-1120"),
    ("--ssn=078051120", "078051120"),
    ("--db=postgres://ada:lovelace@host/x", "lovelace"),
    ("--dsn mysql://ada:babbage@host/x", "babbage"),
    ("--password swordfish", "swordfish"),
    ("--password --sesame", "sesame"),
    ("--api-key=abcabcabc", "abcabcabc"),
    ("--token first-half second-half", "second-half"),
    ("--lr=correcthorse", "correcthorse"),
    ("--units 64 8675309", "8675309"),
    ("-u ada:analytical-engine", "analytical-engine"),
    ("--header X-Auth:bearer-of-bad-news", "bearer-of-bad-news"),
    ("--set wandb.key=difference-engine", "difference-engine"),
    ('--config {"secret":"menabrea"}', "menabrea"),
    ("--out /home/byron/results", "byron"),
    ("--phone 5550123", "5550123"),
    ("--license ABCD-1234-EFGH", "ABCD-1234-EFGH"),
    ("-- postsecret TOKEN=bernoulli", "postsecret"),
]
ARGUMENTS = [word for style, _ in STYLES for word in style.split(" ")]
SECRETS = ["bernoulli", *(secret for _, secret in STYLES)]


def leaks(folder: Path) -> dict[str, set[str]]:
    """Return the secrets in each file, and in its path."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".py"]
    texts = {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}
    found = {name: {s for s in SECRETS if s.encode() in name.encode() + text} for name, text in texts.items()}
    return {name: secrets for name, secrets in found.items() if secrets}


def test_secrets_are_in_no_file_but_the_output(
    command: Callable[..., Answer], written: Any, here: Path
) -> None:
    script = written(TRAINS, "train.py")
    explained = command(
        "verify", "--runs", "2", "--explain", "--no-try-fix", "--json", "a.json", script, "--", *ARGUMENTS
    )
    assert explained.code == 1, explained.err
    assert "cause:" in explained.out
    varied = command(
        "verify",
        "--vary",
        "hash_seed",
        "--no-copy",
        "--html",
        "page.html",
        "--json",
        "b.json",
        script,
        "--",
        *ARGUMENTS,
    )
    assert varied.code == 1, varied.err
    found = leaks(here)
    outputs = {name for name in found if name.rpartition("/")[2] == "output.txt"}
    assert set(found) == outputs
    assert found[".keras_repro/train-1/run-1/output.txt"] == set(SECRETS)
    header = open_ledger(here / ".keras_repro/train-1/run-1").header
    assert header["command"]["hidden"] == 24
    assert header["command"]["arguments"][:6] == ["-p", "<hidden>", "<hidden>", "--pat", "<hidden>", "--pin"]
    assert "train.py -p &lt;hidden&gt;" in (here / "page.html").read_text()


def test_arguments_are_in_the_ledger_on_request(
    command: Callable[..., Answer], written: Any, here: Path
) -> None:
    script = written(TRAINS, "train.py")
    answer = command("verify", "--runs", "2", "--publish-arguments", "--enforce", script, "--pin", "471100")
    assert answer.code == 0, answer.err
    header = open_ledger(here / ".keras_repro/train-1/run-1").header
    assert (header["command"]["arguments"], header["command"]["hidden"]) == (["--pin", "471100"], 0)
    again = command("reproduce", "--yes", here / ".keras_repro/train-1/run-1")
    assert again.code == 0, again.err
    assert open_ledger(here / ".keras_repro/reproduction-1").header["command"] == header["command"]
