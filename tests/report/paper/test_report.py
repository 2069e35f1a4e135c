"""The page of a run: each field is from the ledger or "not recorded", and text from a ledger is no markup."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from keras_repro.errors import LedgerError
from keras_repro.ledger.reader import open_ledger
from keras_repro.ledger.schema import Header, Record
from keras_repro.ledger.writer import LedgerWriter
from keras_repro.report.paper.markdown import escaped
from keras_repro.report.paper.report import render_report, report_data

ENVIRONMENT: dict[str, Any] = {
    "python": {"version": "3.11.7"},
    "packages": {"keras": "3.15.1", "numpy": "2.4.6", "tensorflow-cpu": "2.21.0"},
    "frameworks": {"tensorflow": "2.21.0", "keras": "3.15.1"},
    "cpu": {"model": "EPYC 9", "logical": 8, "available": 2},
    "memory_bytes": 2**34,
    "gpu": [],
    "os": {"system": "Linux", "release": "6.1", "version": "Debian 12", "machine": "x86_64"},
    "git": {"commit": "ab" * 20, "dirty": False},
    "variables": {"PYTHONHASHSEED": "7", "LANG": "C.UTF-8"},
}
PINNED: list[dict[str, Any]] = [
    {"name": "hash_seed", "requested": 7, "achieved": 7, "ok": True, "fix": ""},
    {"name": "op_determinism", "requested": True, "achieved": True, "ok": True, "fix": ""},
    {"name": "intra_op_threads", "requested": 2, "achieved": 2, "ok": True, "fix": ""},
    {"name": "inter_op_threads", "requested": 2, "achieved": 2, "ok": True, "fix": ""},
    {"name": "onednn", "requested": True, "achieved": True, "ok": True, "fix": ""},
    {"name": "onednn_isa", "requested": None, "achieved": "the CPU's", "ok": None, "fix": "x"},
    {"name": "tf32", "requested": False, "achieved": "no GPU", "ok": None, "fix": ""},
]
FIT: dict[str, Any] = {
    "seeds_set": {"keras": 42, "tensorflow": 42},
    "data": {"kind": "arrays", "samples": 455, "digest": "41dd" * 8},
}


def switches(**changed: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    return tuple({**s, **changed.get(s["name"], {})} for s in PINNED)


def write_run(
    folder: Path,
    *,
    records: list[Record] | None = None,
    fit: dict[str, Any] | None = None,
    status: str | None = "finished",
    **header: Any,
) -> Path:
    facts: dict[str, Any] = {
        "coverage": "smr",
        "created": "2026-11-22T02:32:19+00:00",
        "environment": ENVIRONMENT,
        "switches": switches(),
        "command": {"script": "train.py", "module": None, "arguments": ["--lr", "0.1"], "hidden": 0},
    }
    if records is None:
        records = [
            Record(kind="fit", fit=0, sections={"fit": "00"}, extra=FIT | (fit or {})),
            Record(kind="epoch", fit=0, epoch=0, metrics={"loss": 0.5}, extra={"seconds": 1.5}),
            Record(
                kind="epoch",
                fit=0,
                epoch=1,
                sections={"weights": "11"},
                metrics={"loss": 0.1, "accuracy": 0.30000000000000004, "val_accuracy": 0.25},
                extra={"seconds": 0.25},
            ),
            Record(kind="end", fit=0, extra={"status": "finished"}),
        ]
    if status is not None:
        records = [*records, Record(kind="exit", extra={"status": status})]
    with LedgerWriter.create(folder, Header(**facts | header)) as ledger:
        for record in records:
            ledger.append(record)
    return folder


def line(page: str, name: str) -> str:
    """Return the text after `- **name**: `."""
    values = re.findall(rf"^- \*\*{re.escape(name)}\*\*(?: \(.*\))?: (.*)$", page, re.MULTILINE)
    assert len(values) == 1, (name, page)
    return values[0]


def limitations(page: str) -> str:
    return page.partition("## Known Limitations:")[2].partition("## ")[0]


def test_every_line_of_the_template_is_filled_in(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    page = render_report([run])
    assert page.startswith("## Reproducibility Information\n")
    assert line(page, "Random Seed") == "42 (keras.utils.set_random_seed)"
    assert line(page, "TensorFlow Version") == "2.21.0"
    assert line(page, "Keras Version") == "3.15.1"
    assert line(page, "Python Version") == "3.11.7"
    assert line(page, "Hardware") == "EPYC 9, 2 of 8 cores; 16.0 GiB memory"
    assert line(page, "CUDA Version") == "not used (no GPU)"
    assert line(page, "cuDNN Version") == "not used (no GPU)"
    assert line(page, "Operating System") == "Debian 12, 6.1, x86\\_64".replace("\\", "")
    assert line(page, "Source Code") == f"git commit `{'ab' * 20}`"
    assert line(page, "Data") == f"455 samples, digest `{'41dd' * 8}`"
    assert line(page, "Wall Time") == "1.8 s of training in 2 epochs"
    assert line(page, "Status") == "finished"
    assert line(page, "Mode") == "observed: the script ran unchanged and was only recorded"
    ledger = open_ledger(run)
    assert line(page, "GPU and Driver") == "none"
    assert line(page, "Fingerprint") == f"`{ledger.fingerprint}`"
    assert line(page, "What the Fingerprint Covers").startswith("state at each fit's start, after each")
    assert line(page, "BLAKE3 of the Whole Ledger") == f"`{ledger.digest}`"
    assert "1. Install exact dependencies: `pip install -r requirements.txt`" in page
    assert (
        "2. Run with seed 42 (keras.utils.set_random_seed): "
        "`PYTHONHASHSEED=7 python train.py --lr 0.1`\n" in page
    )
    assert "3. Expected val_accuracy: 0.25 (training, epoch 2)\n" in page
    assert (
        f"4. Expected fingerprint: `{ledger.fingerprint}`, as `keras-repro verify` prints it for the same "
        "script and arguments\n" in page
    )
    assert "| training, epoch 2 | accuracy | 0.30000000000000004 |\n" in page
    assert "\n```text\nkeras==3.15.1\nnumpy==2.4.6\ntensorflow-cpu==2.21.0\n```\n" in page
    assert "| intra_op_threads | 2 | 2 | pinned |\n" in page
    assert "not recorded" not in page


def test_missing_information_is_marked(tmp_path: Path) -> None:
    page = render_report(
        [write_run(tmp_path / "a", records=[], environment={}, switches=(), command={}, created="")]
    )
    for name in (
        *("Random Seed", "TensorFlow Version", "Keras Version", "Python Version", "Hardware"),
        *("GPU and Driver", "CUDA Version", "cuDNN Version", "Operating System", "Source Code", "Data"),
        *("Recorded", "Wall Time"),
    ):
        assert line(page, name) == "not recorded"
    assert "2. Run: not recorded\n" in page
    assert "3. Expected accuracy: not recorded\n" in page
    assert "No metrics: not recorded.\n" in page
    assert "No switches: not recorded.\n" in page
    assert "Packages: not recorded.\n" in page
    assert "- Not recorded: python, packages, cpu, memory\\_bytes".replace("\\", "") in page
    for fact in (None, "text", -1, []):
        facts = dict.fromkeys(ENVIRONMENT, fact)
        page = render_report([write_run(tmp_path / f"{fact}", environment=facts)])
        assert line(page, "Hardware") == "not recorded"


def test_keras_repro_is_not_a_requirement(tmp_path: Path) -> None:
    """The training does not import it, so pip need not install it."""
    packages = {"packages": {"keras": "3.15.1", "keras-repro": "0.1.0"}}
    page = render_report([write_run(tmp_path / "a", environment=ENVIRONMENT | packages)])
    needed = "keras==3.15.1\n# keras-repro==0.1.0 recorded this run; the training does not need it\n"
    assert f"\n```text\n{needed}```\n" in page


def test_json_has_the_same_content(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", environment=ENVIRONMENT | {"os": None})
    data = json.loads(json.dumps(report_data([run]), allow_nan=False))
    assert (data["format"], data["verdict"], len(data["runs"])) == (1, None, 1)
    (page,) = data["runs"]
    ledger = open_ledger(run)
    assert (page["name"], page["status"], page["mode"]) == ("a", "finished", "observed")
    assert page["fingerprint"] == page["information"]["Fingerprint"] == ledger.fingerprint
    # Nothing is escaped, and what was not recorded is null.
    assert page["information"]["Source Code"] == f"git commit {'ab' * 20}"
    assert page["information"]["Operating System"] is None
    assert page["reproduce"][1] == (
        "Run with seed 42 (keras.utils.set_random_seed): PYTHONHASHSEED=7 python train.py --lr 0.1"
    )
    assert page["results"][0] == {"where": "training, epoch 2", "metric": "loss", "value": 0.1}
    assert page["switches"][0] == {
        "name": "hash_seed",
        "requested": "7",
        "achieved": "7",
        "status": "pinned",
    }
    assert page["requirements"] == ["keras==3.15.1", "numpy==2.4.6", "tensorflow-cpu==2.21.0"]
    # The same lines as on the page.
    shown = re.findall(r"^- \*\*(.+?)\*\*: ", render_report([run]), re.MULTILINE)
    assert list(page["information"]) == shown
    assert report_data([run, run])["verdict"].startswith("Some of these are the same ledger")


def test_enforced_run_is_repeated_with_keras_repro_run(tmp_path: Path) -> None:
    page = render_report([write_run(tmp_path / "a", mode="enforced", seed=42, policies={"max_epochs": 2})])
    assert line(page, "Random Seed") == "42"
    assert "`keras-repro run --pin-seed 42 --max-epochs 2 train.py --lr 0.1`" in page
    assert "- The training was cut short: only the first 2 epochs of each fit ran.\n" in page


def test_own_seed_of_the_script_is_listed_after_the_pinned_one(tmp_path: Path) -> None:
    fit = {"seeds_set": {"keras": 3, "tensorflow": 3}}
    page = render_report([write_run(tmp_path / "a", mode="enforced", seed=42, fit=fit)])
    assert line(page, "Random Seed") == "42, then 3 (keras.utils.set_random_seed)"


def test_page_names_no_folder_of_the_machine(tmp_path: Path) -> None:
    command = {"script": "/home/ada/train.py", "arguments": []}
    page = render_report([write_run(tmp_path / "a", command=command)])
    assert "python train.py`" in page
    assert "/home" not in page


def test_arguments_are_quoted_and_hidden_ones_counted(tmp_path: Path) -> None:
    command = {"script": None, "module": "my.train", "arguments": ["<hidden>", "a b"], "hidden": 1}
    page = render_report([write_run(tmp_path / "a", command=command)])
    text = "PYTHONHASHSEED=7 python -m my.train '&lt;hidden&gt;' 'a b' (1 arguments are not published)"
    assert text in page
    assert "- 1 of the script's arguments are not published.\n" in page


def test_expected_result_is_that_of_the_last_evaluation(tmp_path: Path) -> None:
    records = [
        Record(kind="fit", fit=0, extra=FIT),
        Record(kind="epoch", fit=0, epoch=0, metrics={"loss": 0.1, "accuracy": 0.5}),
        Record(kind="fit", fit=1, extra=FIT),
        Record(kind="epoch", fit=1, epoch=0, metrics={"loss": 0.2, "accuracy": 0.5}),
        Record(kind="evaluation", index=0, metrics={"loss": 0.3, "binary_accuracy": 0.9}),
        Record(kind="evaluation", index=1, metrics={"loss": "nan", "accuracy": 0.1}),
    ]
    page = render_report([write_run(tmp_path / "a", records=records)])
    assert "3. Expected accuracy: 0.1 (evaluation 2)\n" in page
    assert "| training, epoch 1 of fit 2/2 | loss | 0.2 |\n" in page
    assert "| evaluation 2 | loss | nan |\n" in page
    page = render_report([write_run(tmp_path / "b", records=records[:-1])])
    assert "3. Expected binary_accuracy: 0.9 (evaluation 1)\n" in page


def test_pinned_run_has_its_limitations(tmp_path: Path) -> None:
    text = limitations(render_report([write_run(tmp_path / "a", coverage="smor")]))
    assert text.strip().splitlines() == [
        "- Results may differ in the last digits on another CPU model than EPYC 9; oneDNN chose its "
        "kernels for this CPU's instruction set.",
        "- This run used a CPU; results on a GPU differ.",
    ]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"hash_seed": {"requested": None, "achieved": "random", "ok": None}}, "hash seed was random"),
        ({"hash_seed": {"achieved": 3, "ok": False}}, "hash_seed: requested 7, effective 3."),
        ({"op_determinism": {"achieved": False, "ok": None}}, "Deterministic operations were off"),
        (
            {"intra_op_threads": {"requested": None, "achieved": 4, "ok": None}},
            "not pinned (effective: 4 within an operation, 2 between operations)",
        ),
        ({"tf32": {"achieved": True}}, "TensorFloat-32 was on"),
        ({"onednn_isa": {"achieved": None}}, "Switch onednn_isa could not be read back."),
    ],
)
def test_limitations_follow_from_the_switches(changed: dict[str, Any], expected: str, tmp_path: Path) -> None:
    pinned = limitations(render_report([write_run(tmp_path / "pinned")]))
    loose = limitations(render_report([write_run(tmp_path / "loose", switches=switches(**changed))]))
    plain = loose.replace("\\", "")
    assert expected in plain
    assert expected not in pinned.replace("\\", "")


def test_limitations_follow_from_the_run(tmp_path: Path) -> None:
    dirty = ENVIRONMENT | {"git": {"commit": "ab" * 20, "dirty": True}}
    fit = {"seeds_set": {"keras": None, "tensorflow": 1}, "frozen_shuffle": True, "notes": ["a note"]}
    page = render_report([write_run(tmp_path / "a", environment=dirty, fit=fit, status="stopped")])
    text = limitations(page)
    assert "- The run was stopped: its fingerprint covers only the records up to then.\n" in text
    assert "only: Keras's initializers do not use it.\n" in text
    assert "- The samples had the same shuffled order in every epoch" in text
    assert "- a note.\n" in text
    assert "uncommitted changes" in text
    assert line(page, "Source Code").endswith(", with uncommitted changes")
    assert line(page, "Random Seed") == "1 (tf.random.set_seed alone)"
    assert "-partial`" in line(page, "Fingerprint")
    fit = {"seeds_set": {"keras": None, "tensorflow": None}}
    page = render_report([write_run(tmp_path / "b", fit=fit)])
    assert line(page, "Random Seed") == "none was set"
    assert "2. Run: `PYTHONHASHSEED=7 python train.py --lr 0.1`\n" in page
    assert "No seed was set: the training is not reproducible." in limitations(page)
    # A seed that was not recorded is not mentioned.
    page = render_report([write_run(tmp_path / "c", fit={"seeds_set": {}})])
    assert line(page, "Random Seed") == "not recorded"
    assert "eed" not in limitations(page).replace("hash seed", "")


def test_gpu_is_described(tmp_path: Path) -> None:
    environment = ENVIRONMENT | {
        "gpu": [{"model": "RTX 3090", "driver": "550", "memory_bytes": 24 << 30}],
        "packages": {"nvidia-cuda-runtime-cu12": "12.5.82", "nvidia-cudnn-cu12": "9.3.0.75"},
    }
    used = switches(tf32={"achieved": False, "ok": True})
    page = render_report([write_run(tmp_path / "a", environment=environment, switches=used)])
    assert line(page, "Hardware").endswith("RTX 3090 (24 GiB)")
    assert line(page, "GPU and Driver") == "RTX 3090 (24 GiB), driver 550"
    assert line(page, "CUDA Version") == "12.5.82"
    assert line(page, "cuDNN Version") == "9.3.0.75"
    assert "other GPU models than RTX 3090.\n" in limitations(page)
    assert "This run used a GPU; results on a CPU differ.\n" in limitations(page)
    # A GPU that this TensorFlow did not use.
    page = render_report([write_run(tmp_path / "b", environment=environment)])
    assert "This run used a CPU; results on a GPU differ.\n" in limitations(page)


EVIL = "<script>x</script>`|\n# h\r\x1b[31m\u202e [a](javascript:x) ![i](http://e.vil/) **b** www.e.vil"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see http://x.org", "see http&#58;//x.org"),
        ("WWW.x.org", "WWW&#46;x.org"),
        ("mailto:a@x.org", "mailto&#58;a@<!-- -->x.org"),
        ("ask @ada, a @ b", "ask @<!-- -->ada, a @ b"),
    ],
)
def test_address_is_no_link(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_kept_output_is_a_limitation(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert "output.txt" not in render_report([run])
    (run / "output.txt").touch()
    assert report_data([run])["runs"][0]["limitations"][-1] == (
        "output.txt next to the ledger holds what the script printed, which is not redacted: check it for "
        "secrets before the folder is published."
    )


def test_text_from_a_ledger_is_escaped(tmp_path: Path) -> None:
    environment: dict[str, Any] = {
        "python": {"version": EVIL},
        "packages": {EVIL: "1", "fine": EVIL, "good": "1.0+cpu", "```": "1"},
        "frameworks": {"tensorflow": EVIL},
        "cpu": {"model": EVIL, "logical": EVIL, "available": EVIL},
        "memory_bytes": 10**400,
        "gpu": [{"model": EVIL, "memory_bytes": EVIL}, EVIL],
        "os": {"version": EVIL},
        "git": {"commit": EVIL, "dirty": EVIL},
        "variables": {EVIL: EVIL},
    }
    evil: dict[str, Any] = {"name": EVIL, "requested": EVIL, "achieved": {EVIL: EVIL}, "ok": EVIL}
    fit = {
        "seeds_set": {"keras": EVIL},
        "data": {"kind": EVIL, "samples": EVIL, "digest": EVIL},
        "notes": [EVIL, {EVIL: 1}],
    }
    records = [
        Record(kind="fit", fit=0, extra=fit),
        Record(
            kind="epoch",
            fit=0,
            epoch=0,
            metrics={EVIL: EVIL, f"{EVIL}_loss": [EVIL]},
            extra={"seconds": EVIL, "stateful_random_operations": [EVIL]},
        ),
    ]
    run = write_run(
        tmp_path / "<i>|`",
        records=records,
        status=EVIL,
        environment=environment,
        switches=(evil, {}),
        command={"script": EVIL, "arguments": [EVIL, 3, None], "hidden": EVIL},
        created=EVIL,
        mode=EVIL,
        seed=EVIL,
        policies={"max_epochs": EVIL, "max_steps": EVIL},
    )
    for page in (render_report([run]), render_report([run, write_run(tmp_path / "b")])):
        plain = page.replace("<details>", "").replace("</details>", "")
        plain = plain.replace("<summary>", "").replace("</summary>", "")
        assert "<" not in plain
        assert ">" not in plain
        assert "://" not in page
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", page)
        # A bar that is not escaped would make a column of its own.
        for row in page.splitlines():
            if row.startswith("| "):
                assert len(re.findall(r"(?<!\\)\|", row)) in (4, 5)
        assert not re.search(r"(?<!\\)\*\*b", page)
        assert not re.search(r"(?<!\\)\[a", page)
        assert "\n# h" not in page
        # The rendered page has its own structure only.
        html = MarkdownIt("commonmark").enable("table").render(page)
        tags = set(re.findall(r"<(\w+)", html))
        assert tags <= {"h1", "h2", "ul", "ol", "li", "strong", "code", "pre", "p", "details", "summary"} | {
            *("table", "thead", "tbody", "tr", "th", "td")
        }
        names = re.findall(r"<strong>(.*?)</strong>", html)
        assert set(names) <= set(re.findall(r"\*\*(.+?)\*\*:? ", page)) - {"b"}
        # Only its own end closes the block of packages.
        block = page.partition("```text\n")[2].partition("\n```\n")[0]
        assert block.splitlines() == ["# (an entry that is not a package)"] * 2 + [
            "# (an entry that is not a package)",
            "good==1.0+cpu",
        ]


def test_identical_fingerprints_are_reported(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "a"),
        write_run(tmp_path / "b", created="2026-11-23T00:00:00+00:00"),
    ]
    page = render_report(runs)
    assert page.startswith("# Reproducibility report of 2 runs\n")
    assert "The fingerprints of all 2 runs are identical: all that they cover is bit-identical.\n" in page
    assert page.count("## Reproducibility Information") == 2
    assert f"| 2: b | finished | observed | `{open_ledger(runs[1]).fingerprint}` |\n" in page


def _changed(folder: Path, **changed: Any) -> Path:
    records = [Record(kind="fit", fit=0, sections={"fit": "01"}, extra=FIT)]
    return write_run(folder, **({"records": records} | changed))


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "The fingerprints differ: keras-repro compare shows where the runs diverge."),
        ({"mode": "enforced"}, "Observed and enforced runs are different trainings"),
        ({"coverage": "smor"}, "The fingerprints have different coverage"),
        ({"status": "stopped"}, "Not all of these runs finished"),
        ({"status": None, "records": []}, "Not all of these runs finished"),
    ],
)
def test_runs_that_are_not_identical_are_reported(
    changed: dict[str, Any], verdict: str, tmp_path: Path
) -> None:
    page = render_report([write_run(tmp_path / "a"), _changed(tmp_path / "b", **changed)])
    assert verdict in page
    assert "identical" not in page


def test_run_is_not_compared_with_itself(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    assert "the same ledger" in render_report([run, run])


def test_damaged_ledger_is_an_error(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    path = run / "ledger.jsonl"
    path.write_bytes(path.read_bytes().replace(b"0.25", b"0.26", 1))
    with pytest.raises(LedgerError, match="is damaged at line"):
        render_report([run])


def test_incomplete_line_is_reported_without_the_folder(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    with open(run / "ledger.jsonl", "a") as file:
        file.write('{"kind":"ev')
    page = render_report([run])
    assert "- the ledger: the last line is incomplete and is ignored" in page
    assert str(tmp_path) not in page


def test_missing_jinja2_names_the_extra(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['jinja2'] = None\n"
        "from keras_repro.report.paper.report import render_report\n"
        "from keras_repro.errors import ReproError\n"
        "try: render_report([])\n"
        "except ReproError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).resolve().parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ("a report needs jinja2; install it with: pip install 'keras_repro[report]'\n")
