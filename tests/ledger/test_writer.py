"""A ledger keeps its records through kills and full disks, and damage to it is found."""

import errno
import gc
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

import blake3
import ledger_builders
import numpy as np
import pytest

from keras_repro.determinism.switch_table import BY_NAME
from keras_repro.errors import LedgerError, RunFolderError
from keras_repro.ledger.reader import open_ledger
from keras_repro.ledger.schema import Header, Record, StepRecord
from keras_repro.ledger.writer import LedgerWriter
from keras_repro.provenance.environment import gather

GOLDEN = Path(__file__).parents[2] / "docs" / "golden"


def lines_of(run):
    return (run / "ledger.jsonl").read_bytes().splitlines(keepends=True)


def put(run, lines):
    (run / "ledger.jsonl").write_bytes(b"".join(lines))
    return run


def sealed(data):
    """Return a line with a valid check, as a forger of a ledger can make it."""
    body = data if isinstance(data, bytes) else json.dumps(data, separators=(",", ":"))[:-1].encode()
    return body + b',"check":"' + blake3.blake3(body).hexdigest()[:16].encode() + b'"}\n'


def all_of(run):
    return list(open_ledger(run).typed_records())


@pytest.fixture
def run(tmp_path):
    return ledger_builders.write(tmp_path / "run", ledger_builders.training())


# The golden ledgers, and a reader written from docs/ledger.md alone.


def test_golden_finished_ledger_is_read():
    ledger = open_ledger(GOLDEN / "finished.jsonl")
    assert ledger.fingerprint == "kr1-smr-eef309e0a75b157847097b0ddc043253"
    assert ledger.status == "finished"
    assert ledger.notes == []
    assert ledger.digest == "2bc01e764e5d36212c33808948bbd935db7e6ba8cb9b1139c6379a1537d551ec"
    kinds = [r.kind for r in ledger.typed_records()]
    assert kinds == ["fit", "start", "birth", "epoch", "epoch", "end", "evaluation", "prediction", "exit"]
    assert [r["kind"] for r in ledger.records()][4] == "sketch"
    assert ledger.header["a_newer_key"] == "is kept and ignored"


def test_golden_killed_ledger_is_read():
    ledger = open_ledger(GOLDEN / "killed.jsonl")
    assert ledger.fingerprint == "kr1-smo-8f63dda4004be6190260d3f1120083a2-partial"
    assert ledger.status == "killed"
    assert ledger.notes == [f"{GOLDEN / 'killed.jsonl'}: the last line is incomplete and is ignored"]
    assert ledger.digest == "7722eeeedd746f180ec75910269e6b271a7f05ee8da667d7c417c56be8072f5e"
    last = list(ledger.typed_records())[-1]
    assert (last.position, last.metrics) == ("epoch 0 0", {"loss": "nan"})


def test_golden_headers_have_the_fields_of_new_ones():
    """The golden files must test what readers will meet."""
    written = gather(GOLDEN)
    for name in ("finished", "killed"):
        header = open_ledger(GOLDEN / f"{name}.jsonl").header
        environment = header["environment"]
        assert set(environment) == {*written, "frameworks"}
        for fact, value in written.items():
            if isinstance(value, dict) and fact not in ("packages", "variables", "git"):
                assert set(environment[fact]) == set(value), fact
        assert environment["python"]["version"] == "3.11.9"
        readings = {s["name"]: s for s in header["switches"]}
        assert set(readings) <= set(BY_NAME)
        assert readings["hash_seed"]["achieved"] == (1 if name == "finished" else 42)
        assert all(list(s) == ["name", "requested", "achieved", "ok", "fix"] for s in readings.values())
    assert environment["gpu"] == [
        {
            "model": "an example of a GPU",
            "driver": "550.54",
            "memory_bytes": 25769803776,
            "compute_capability": "9.0",
        }
    ]


@pytest.mark.parametrize(
    ("name", "link"),
    [
        ("finished", "eef309e0a75b157847097b0ddc043253c66f357825c67bc1938bd7d338d8ce0b"),
        ("killed", "8f63dda4004be6190260d3f1120083a2ec7800fde6379555a9bc148954d862e0"),
    ],
)
def test_independent_reader_agrees_with_the_documentation(name, link):
    def framed(text):
        data = text.encode()
        return struct.pack("<q", len(data)) + data

    chain = bytes(32)
    text = (GOLDEN / f"{name}.jsonl").read_bytes()
    for number, line in enumerate(text[: text.rindex(b"\n") + 1].splitlines()):
        body, check = line[:-28], line[-28:]
        assert check == b',"check":"' + blake3.blake3(body).hexdigest()[:16].encode() + b'"}'
        record = json.loads(line)
        assert record["n"] == number
        if "link" not in record:
            continue
        position = [record[key] for key in ("kind", "fit", "epoch", "index") if key in record]
        hashed = chain + framed(" ".join(map(str, position)))
        for section, digest in sorted(record.get("sections", {}).items()):
            hashed += framed(section) + framed(digest)
        chain = blake3.blake3(hashed).digest()
        assert record["link"] == chain.hex()
        for section, tensors in record.get("tensors", {}).items():
            joined = "".join(f"{len(n)}:{n}={tensors[n]};" for n in sorted(tensors))
            assert record["sections"][section] == blake3.blake3(joined.encode()).hexdigest()[:32]
    assert chain.hex() == link


def test_tensor_of_the_golden_ledger_has_its_digest():
    """The example of docs/ledger.md, from its bytes."""
    values = struct.pack("<6f", 0, 1, 2, 3, 4, 5)
    framed = b""
    for part in (b"tensor", b"layers/0/kernel", b"float32"):
        framed += struct.pack("<q", len(part)) + part
    framed += struct.pack("<3q", 2, 2, 3) + blake3.blake3(values).digest()
    start = next(r for r in open_ledger(GOLDEN / "finished.jsonl").records() if r["kind"] == "start")
    assert start["tensors"]["weights"]["layers/0/kernel"] == blake3.blake3(framed).hexdigest()[:32]


# Writing and reading.


def test_written_records_are_read_back(tmp_path):
    records = ledger_builders.training()
    header = Header(coverage="smr", seed=3, command={"script": "a.py"}, extra={"site": "x"})
    with LedgerWriter.create(tmp_path / "run", header) as ledger:
        written = [ledger.append(r) for r in records]
        fingerprint = ledger.fingerprint()
    read = open_ledger(tmp_path / "run")
    assert Header.from_dict(read.header) == header
    assert list(read.typed_records()) == written
    assert [r.link for r in written] == list(dict.fromkeys(r.link for r in written))
    assert fingerprint == f"kr1-smr-{written[-1].link[:32]}"


def test_ledger_is_opened_by_file_or_folder(run):
    assert all_of(run) == all_of(run / "ledger.jsonl")


@pytest.mark.parametrize(
    ("coverage", "last", "status"),
    [
        ("sm", [], "killed"),
        ("sm", ["finished"], "finished"),
        ("sm", ["stopped"], "stopped"),
        ("sm", ["stopped", "finished"], "finished"),
        ("sm", ["finished", None], "killed"),
        ("smr", ["finished"], "killed"),
        ("smr", ["finished", "exit finished"], "finished"),
        ("smr", ["finished", "exit stopped"], "stopped"),
    ],
)
def test_unfinished_ledger_has_a_partial_fingerprint(tmp_path, coverage, last, status):
    with LedgerWriter.create(tmp_path / "run", Header(coverage=coverage)) as ledger:
        ledger.append(Record(kind="start", fit=0))
        for number, how in enumerate(last):
            if how is None:
                ledger.append(Record(kind="start", fit=number))
            elif how.startswith("exit"):
                ledger.append(Record(kind="exit", extra={"status": how.split()[1]}))
            else:
                ledger.append(Record(kind="end", fit=number, extra={"status": how}))
        whole = ledger.fingerprint()
    read = open_ledger(tmp_path / "run")
    assert read.status == status
    assert read.fingerprint == (whole if status == "finished" else f"{whole}-partial")


def test_ledger_with_only_a_header_counts_as_killed(tmp_path):
    read = open_ledger(ledger_builders.write(tmp_path / "run", []))
    assert read.fingerprint is None
    assert read.status == "killed"
    assert list(read.records()) == []


def test_numbers_that_json_lacks_are_written_as_text(tmp_path):
    extra = {"configuration": {"clipnorm": float("inf"), "rates": [float("nan"), -float("inf"), 1.5, 2]}}
    run = ledger_builders.write(tmp_path / "run", [Record(kind="fit", fit=0, extra=extra)])
    for line in lines_of(run):
        json.loads(line, parse_constant=lambda name: pytest.fail(name))
    configuration = next(open_ledger(run).records())["configuration"]
    assert configuration == {"clipnorm": "inf", "rates": ["nan", "-inf", 1.5, 2]}


def test_chain_depends_on_position_and_sections_only(tmp_path):
    """Only position and sections: a newer keras_repro may record more."""
    base = ledger_builders.training()
    expected = open_ledger(ledger_builders.write(tmp_path / "base", base)).fingerprint

    def fingerprint(name, records, **header):
        return open_ledger(ledger_builders.write(tmp_path / name, records, **header)).fingerprint

    more = {
        "extra": {"seconds": 5, "newer": 1, "arguments": {}, "configuration": {}},
        "latent": {"seeds": {"dropout/state": "0" * 32}},
        "added": {"clock": 3.0},
        "metrics": {"loss": 0.125},
        "shapes": {"other": ["float32", [1], ""]},
    }
    for position in ("fit 0", "start 0", "epoch 0 1", "end 0"):
        assert (
            fingerprint(f"more {position}", ledger_builders.with_fields(base, position, **more)) == expected
        )
    header = {"version": "9", "seed": 1, "created": "x", "mode": "enforced", "extra": {"site": "y"}}
    assert fingerprint("header", base, **header) == expected

    others = {
        "tensor": ledger_builders.changed(base, "epoch 0 1", "weights", ledger_builders.BIAS, "other"),
        "new section": ledger_builders.changed(base, "epoch 0 1", "order", "order", "0"),
        "start": ledger_builders.changed(base, "start 0", "weights", ledger_builders.KERNEL, "other"),
        "fit": ledger_builders.training(fit=1),
        "swapped": [*base[:3], base[4], base[3], *base[5:]],
        "missing": [*base[:4], *base[5:]],
        "twice": [*base, base[-1]],
        "epoch": ledger_builders.with_fields(base, "epoch 0 1", epoch=7),
        "index": ledger_builders.with_fields(base, "end 0", index=0),
    }
    fingerprints = {name: fingerprint(name, records) for name, records in others.items()}
    assert expected not in fingerprints.values()
    assert len(set(fingerprints.values())) == len(others)
    assert fingerprint("coverage", base, coverage="smo") == expected.replace("-sm-", "-smo-")


# Damage.


def test_incomplete_last_line_is_ignored(run):
    whole = all_of(run)
    lines = lines_of(run)
    for kept in (1, 2, len(lines[-1]) // 2, len(lines[-1]) - 1):
        put(run, [*lines[:-1], lines[-1][:kept]])
        ledger = open_ledger(run)
        assert list(ledger.typed_records()) == whole[:-1]
        assert ledger.notes == [f"{run / 'ledger.jsonl'}: the last line is incomplete and is ignored"]
        assert ledger.status == "killed"
        assert ledger.fingerprint == f"kr1-sm-{whole[-2].link[:32]}-partial"


def test_every_flipped_byte_is_found(tmp_path):
    records = [ledger_builders.record("epoch", {"w": {"k": "x"}}, fit=0, epoch=0), Record(kind="end", fit=0)]
    run = ledger_builders.write(tmp_path / "run", records)
    lines = lines_of(run)
    before, line = b"".join(lines[:1]), lines[1]
    for index in range(len(line)):
        for mask in (0x01, 0x20, 0x80):
            flipped = bytearray(line)
            flipped[index] ^= mask
            (run / "ledger.jsonl").write_bytes(before + bytes(flipped) + lines[2])
            with pytest.raises(LedgerError, match="is damaged at line 2"):
                all_of(run)


def test_flipped_byte_in_the_header_is_found(run):
    lines = lines_of(run)
    for index in range(len(lines[0])):
        flipped = bytearray(lines[0])
        flipped[index] ^= 0x02
        put(run, [bytes(flipped), *lines[1:]])
        with pytest.raises(LedgerError, match="is damaged at line 1"):
            open_ledger(run)


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda lines: [*lines[:3], *lines[4:]], 4),
        (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], 3),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4),
        (lambda lines: [*lines[:2], b"\n", *lines[2:]], 3),
        (lambda lines: [*lines[:2], b"\0" * 100 + b"\n", *lines[2:]], 3),
        (lambda lines: [*lines[:3], lines[3][:40], *lines[4:]], 4),
        (lambda lines: [line.replace(b"\n", b"\r\n") for line in lines], 1),
        (lambda lines: [b"\xef\xbb\xbf", *lines], 1),
        (lambda lines: lines[1:], 1),
    ],
    ids=["removed", "swapped", "twice", "empty", "zeros", "torn inside", "crlf", "bom", "no header"],
)
def test_other_damage_is_an_error(run, damage, line):
    put(run, damage(lines_of(run)))
    with pytest.raises(LedgerError, match=f"is damaged at line {line}"):
        all_of(run)


def test_lines_of_another_run_are_found(run, tmp_path):
    """Each line is valid by itself and has the right number: only the chain shows it."""
    other = ledger_builders.changed(
        ledger_builders.training(), "epoch 0 0", "weights", ledger_builders.KERNEL, "other"
    )
    lines, others = lines_of(run), lines_of(ledger_builders.write(tmp_path / "other", other))
    put(run, [*lines[:5], *others[5:]])
    with pytest.raises(LedgerError, match="is damaged at line 6: its chain does not hold there"):
        all_of(run)


def test_changed_section_with_a_matching_line_check_is_found(run):
    lines = lines_of(run)
    data = json.loads(lines[4])
    del data["check"]
    data["sections"]["weights"] = "0" * 32
    put(run, [*lines[:4], sealed(data), *lines[5:]])
    with pytest.raises(LedgerError, match="is damaged at line 5: its chain does not hold there"):
        all_of(run)


def test_record_without_its_link_is_damage(run):
    """A record cannot be removed from the chain unnoticed."""
    lines = lines_of(run)
    data = json.loads(lines[4])
    del data["check"], data["link"]
    put(run, [*lines[:4], sealed(data)])
    with pytest.raises(LedgerError, match="is damaged at line 5: it has no link"):
        all_of(run)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: the run ended before its first record"),
        (b'{"kind":"header","format":1', "is empty: the run ended before its first record"),
        (b"hello\n", "is damaged at line 1: its line check does not match"),
        (b"\x89HDF\r\n\x1a\n" * 9, "is damaged at line 1"),
        (sealed({"kind": "epoch", "n": 0}), "does not start with a header"),
        (
            sealed(Header(format=2).to_dict() | {"n": 0}),
            "has format 2, but this keras_repro reads formats up to 1",
        ),
        (sealed(Header(algorithm="sha256").to_dict() | {"n": 0}), "its digests are 'sha256', not blake3"),
        (sealed({"kind": "header", "format": 1, "switches": "abc", "n": 0}), "field 'switches' is a str"),
        (sealed(Header().to_dict() | {"n": 1}), "lines are missing before it"),
        (sealed(Header().to_dict() | {"n": "0"}), "lines are missing before it"),
        (sealed(b"[1"), "it is not JSON"),
        (sealed(b'{"n":' + b"9" * 5000), "it is not JSON"),
        (sealed(b'{"n":0,"a":' + b"[" * 100_000), "it is nested too deeply"),
        (sealed(b'{"n":0,"a":[' + b"[]," * (1 << 19)), "it holds more than 1,048,576 values"),
        (sealed(b'{"n":0,"a":NaN'), "it is not JSON"),
        (sealed(b'{"n":0,"a":"\xff"'), "it is not JSON"),
    ],
)
def test_other_files_are_no_ledgers(tmp_path, content, message):
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(content)
    for given in (path, tmp_path):
        with pytest.raises(LedgerError, match=message):
            open_ledger(given)


@pytest.mark.parametrize(
    "change",
    [
        {"sections": {"weights": 5}},
        {"sections": "weights"},
        {"epoch": "first"},
        {"kind": 5},
        {"shapes": {"k": 5}},
        {"tensors": {"weights": None}},
        {"link": ["x"]},
    ],
)
def test_fields_of_wrong_types_are_errors(run, change):
    lines = lines_of(run)
    data = json.loads(lines[4]) | change
    del data["check"]
    put(run, [*lines[:4], sealed(data), *lines[5:]])
    with pytest.raises(LedgerError, match="line 5: "):
        all_of(run)


def test_name_with_half_a_surrogate_pair_is_read_back(tmp_path):
    run = ledger_builders.write(
        tmp_path / "run", [ledger_builders.record("epoch", {"\ud800": {"\udfff": "x"}}, fit=0)]
    )
    assert list(all_of(run)[0].tensors) == ["\ud800"]


def test_paths_that_are_no_files_are_refused(tmp_path, run):
    os.symlink(run / "ledger.jsonl", tmp_path / "link")
    with pytest.raises(LedgerError, match=r"cannot open .*: it is a link, which is not followed"):
        open_ledger(tmp_path / "link")
    (tmp_path / "linked").mkdir()
    os.symlink(run / "ledger.jsonl", tmp_path / "linked" / "ledger.jsonl")
    with pytest.raises(LedgerError, match="it is a link, which is not followed"):
        open_ledger(tmp_path / "linked")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LedgerError, match="pipe: it is not a regular file"):
        open_ledger(tmp_path / "pipe")
    with pytest.raises(LedgerError, match="null: it is not a regular file"):
        open_ledger("/dev/null")
    (tmp_path / "folder" / "ledger.jsonl").mkdir(parents=True)
    with pytest.raises(LedgerError, match="it is not a regular file"):
        open_ledger(tmp_path / "folder")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LedgerError, match=r"empty holds no ledger\.jsonl: give a run folder or a ledger"):
        open_ledger(tmp_path / "empty")
    with pytest.raises(LedgerError, match=r"no ledger at .*nowhere"):
        open_ledger(tmp_path / "nowhere")


def test_endless_line_is_refused(tmp_path):
    """A sparse file of 100 MB without a line break is not read into memory."""
    path = tmp_path / "ledger.jsonl"
    with open(path, "wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(LedgerError, match="is no ledger: line 1 has no end"):
        open_ledger(path)


# Records survive failures.


def forked(body):
    """Run `body` in a forked child; return its wait status."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            status = body() or 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


@pytest.mark.parametrize("room", [1, 150, 300, 301])
def test_full_disk_keeps_earlier_records(tmp_path, room):
    """A limit on the file's size acts as the full disk: the write ends within a line."""
    records = [ledger_builders.record("epoch", {"w": {"k": str(e)}}, fit=0, epoch=e) for e in range(40)]
    with LedgerWriter.create(tmp_path / "run", Header()) as ledger:
        for record in records[:20]:
            ledger.append(record)
    size = os.path.getsize(tmp_path / "run" / "ledger.jsonl")
    shutil.rmtree(tmp_path / "run")

    def body():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, size + room))
        with LedgerWriter.create(tmp_path / "run", Header()) as ledger:
            done = 0
            try:
                for record in records:
                    ledger.append(record)
                    done += 1
            except LedgerError as error:
                message = str(error)
        (tmp_path / "message").write_text(f"{done} {message}")

    assert forked(body) == 0
    done, _, message = (tmp_path / "message").read_text().partition(" ")
    assert message == f"cannot write {tmp_path / 'run' / 'ledger.jsonl'}: {os.strerror(errno.EFBIG)}"
    assert int(done) >= 20
    ledger = open_ledger(tmp_path / "run")
    assert [r.epoch for r in ledger.typed_records()] == list(range(int(done)))
    assert ledger.notes == []
    assert (tmp_path / "run" / "ledger.jsonl").read_bytes().endswith(b"\n")


def test_disk_without_room_for_the_header_is_an_error(tmp_path):
    def body():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        with pytest.raises(LedgerError, match="cannot write"):
            LedgerWriter.create(tmp_path / "run", Header())

    assert forked(body) == 0
    # Nothing of a run is left that a second try would have to overwrite.
    LedgerWriter.create(tmp_path / "run", Header()).close()


def test_next_write_after_a_failed_one_succeeds(tmp_path):
    with LedgerWriter.create(tmp_path / "run", Header()) as ledger:
        ledger.append(Record(kind="start", fit=0))
        with pytest.raises(TypeError):
            ledger.append(Record(kind="epoch", fit=0, epoch=0, extra={"seconds": object()}))
        ledger.append(Record(kind="end", fit=0))
    assert [r.kind for r in all_of(tmp_path / "run")] == ["start", "end"]


KILLED = """
import sys
from keras_repro.ledger.writer import LedgerWriter
from keras_repro.ledger.schema import Header, Record
with LedgerWriter.create(sys.argv[1], Header()) as ledger:
    for epoch in range(1_000_000):
        tensors = {"w": {f"layers/{i}/kernel": f"{i:032x}" for i in range(200)}}
        sections = {"w": f"{epoch:032x}"}
        ledger.append(Record(kind="epoch", fit=0, epoch=epoch, sections=sections, tensors=tensors))
        if epoch % 10 == 9:
            print(epoch, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 4, 9])
def test_killed_writer_leaves_complete_lines(tmp_path, lines):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        for _ in range(lines):
            written = int(child.stdout.readline())
        child.kill()
    assert child.returncode == -signal.SIGKILL
    ledger = open_ledger(tmp_path / "run")
    epochs = [r.epoch for r in ledger.typed_records()]
    assert epochs == list(range(len(epochs)))
    assert len(epochs) > written
    assert ledger.status == "killed"
    assert ledger.fingerprint.endswith("-partial")


def test_interrupted_writer_keeps_complete_lines(tmp_path):
    """Ctrl-C may interrupt a write: the line is complete and counted, or it is missing."""
    records = [ledger_builders.record("epoch", {"w": {"k": str(e)}}, fit=0, epoch=e) for e in range(100)]
    fired = 0
    gc.collect()  # or the signal might come in the `__del__` of an earlier test's ledger

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with LedgerWriter.create(tmp_path / "run", Header()) as ledger:
            for attempt in range(400):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.00002 + attempt * 0.000001)
                    for record in records:
                        ledger.append(record)
                except KeyboardInterrupt:
                    fired += 1
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            ledger.append(Record(kind="end", fit=0, extra={"status": "stopped"}))
            fingerprint = ledger.fingerprint(partial=True)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert fired > 100
    read = open_ledger(tmp_path / "run")
    assert read.fingerprint == fingerprint
    assert read.status == "stopped"
    assert read.notes == []


# Run folders.


def test_run_is_not_overwritten(run):
    before = (run / "ledger.jsonl").read_bytes()
    with pytest.raises(
        RunFolderError, match=r"holds a run already: choose another, or overwrite it \(--force"
    ):
        LedgerWriter.create(run, Header())
    assert (run / "ledger.jsonl").read_bytes() == before


def test_link_in_place_of_the_ledger_is_not_followed(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "precious").write_text("kept")
    os.symlink(tmp_path / "precious", tmp_path / "run" / "ledger.jsonl")
    with pytest.raises(RunFolderError, match="holds a run already"):
        LedgerWriter.create(tmp_path / "run", Header())
    assert (tmp_path / "precious").read_text() == "kept"


NOBODY = 65534


def unprivileged(body):
    """Run `body` in a child without root's rights: file permissions do not limit root."""

    def as_nobody():
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return body()

    return forked(as_nobody)


@pytest.fixture
def open_path(tmp_path):
    """A temporary folder that every user may enter."""
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_uid == os.getuid() and folder != Path(folder.anchor):
            folder.chmod(folder.stat().st_mode | 0o055)
    return tmp_path


def test_unwritable_folder_is_an_error(open_path):
    (open_path / "run").mkdir(mode=0o555)

    def body():
        with pytest.raises(RunFolderError, match=r"cannot write to run folder .*/run: Permission denied"):
            LedgerWriter.create(open_path / "run", Header())
        with pytest.raises(RunFolderError, match=r"cannot make run folder .*/below: Permission denied"):
            LedgerWriter.create(open_path / "run" / "below", Header())

    assert unprivileged(body) == 0
    assert list((open_path / "run").iterdir()) == []


def test_unreadable_ledger_is_an_error(open_path):
    run = ledger_builders.write(open_path / "run", ledger_builders.training())

    def body():
        for given in (run, run / "ledger.jsonl"):
            with pytest.raises(LedgerError, match=r"cannot open .*: Permission denied"):
                open_ledger(given)

    (run / "ledger.jsonl").chmod(0)
    assert unprivileged(body) == 0
    (run / "ledger.jsonl").chmod(0o644)
    run.chmod(0)
    assert unprivileged(body) == 0
    run.chmod(0o755)


def test_numpy_numbers_are_written_as_numbers(tmp_path):
    with LedgerWriter.create(tmp_path / "run", Header()) as ledger:
        ledger.append(Record(kind="fit", fit=0, extra={"epochs": np.int64(3), "rates": np.arange(2)}))
    assert all_of(tmp_path / "run")[0].extra == {"epochs": 3, "rates": [0, 1]}


def test_deep_nesting_is_refused(tmp_path):
    nested = 1
    for _ in range(900):
        nested = [nested]
    with LedgerWriter.create(tmp_path / "run", Header()) as ledger:
        ledger.append(Record(kind="fit", fit=0, extra={"configuration": nested}))
    with pytest.raises(LedgerError, match="damaged at line 2: it is nested too deeply"):
        list(open_ledger(tmp_path / "run").records())


# Step records.


def test_steps_are_in_the_ledger_but_not_in_the_chain(tmp_path):
    records = ledger_builders.training()
    steps = [StepRecord(fit=0, epoch=1, step=n, loss=0.5, state={"weights": "a" * 32}) for n in range(3)]
    with LedgerWriter.create(tmp_path / "with", Header()) as ledger:
        for record in records:
            ledger.append(record)
            if record.kind == "epoch":
                for step in steps:
                    ledger.append_step(step)
    plain = open_ledger(ledger_builders.write(tmp_path / "without", records))
    ledger = open_ledger(tmp_path / "with")
    assert ledger.fingerprint == plain.fingerprint
    assert ledger.status == "finished"
    assert [r.kind for r in ledger.typed_records()] == [r.kind for r in plain.typed_records()]
    assert list(ledger.steps(0, 1)) == steps * 3
    assert list(ledger.steps(0, 0)) == list(ledger.steps(1, 1)) == []


def test_invalid_step_is_an_error_when_steps_are_read(tmp_path):
    with LedgerWriter.create(tmp_path / "run", Header()) as ledger:
        for record in ledger_builders.training():
            ledger.append(record)
        ledger.append_step(StepRecord(fit=0, epoch=0, step=0, state={"weights": 7}))
    ledger = open_ledger(tmp_path / "run")
    assert ledger.status == "finished"
    with pytest.raises(LedgerError, match=r"line \d+: a digest in it is not a text"):
        list(ledger.steps(0, 0))


@pytest.mark.parametrize(
    "record",
    [
        StepRecord(fit=0, epoch=0, step=0),
        StepRecord(fit=1, epoch=2, step=3, loss=0.1, state={"weights": "a" * 32, "seeds": "b" * 32}),
        StepRecord(fit=0, epoch=0, step=9, loss=-0.0, state={}, batch={"order": "c" * 32, "rows": "d"}),
        StepRecord(fit=0, epoch=0, step=0, loss=1e-300, state={'ä"\\\n': "\u2028"}),
        StepRecord(fit=0, epoch=0, step=0, loss=1e22, state={"weights": "a"}),
        StepRecord(fit=0, epoch=0, step=0, loss="nan", state={"weights": "a"}),
        StepRecord(fit=0, epoch=0, step=0, loss=float("inf"), state={"weights": "a"}),
        StepRecord(fit=0, epoch=0, step=0, loss=2, state={"weights": "a"}, extra={"note": [1, None]}),
        StepRecord(fit=0, epoch=0, step=0, state={"weights": 7}),
    ],
)
def test_step_line_equals_the_generic_line(record, tmp_path):
    with LedgerWriter.create(tmp_path / "run", Header()) as ledger:
        ledger.append_step(record)
        ledger._write(record.to_dict() | {"n": 1}, ledger.link)
    _, quick, plain = (tmp_path / "run" / "ledger.jsonl").read_bytes().splitlines()
    assert quick.rpartition(b',"n":')[0] == plain.rpartition(b',"n":')[0]
    assert [r["kind"] for r in open_ledger(tmp_path / "run").records()] == [
        "step",
        "step",
    ]  # both checks match


def test_incomplete_step_line_is_removed(tmp_path, monkeypatch):
    write, left = os.write, [40]

    def fills_up(descriptor, data):
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = write(descriptor, bytes(data)[: left[0]])
        left[0] -= done
        return done

    record = StepRecord(fit=0, epoch=0, step=0, state={"weights": "a" * 32})
    with LedgerWriter.create(tmp_path / "run", Header()) as ledger:
        ledger.append_step(record)
        whole = ledger.path.read_bytes()
        monkeypatch.setattr(os, "write", fills_up)
        with pytest.raises(LedgerError, match="No space left on device"):
            ledger.append_step(record)
        monkeypatch.undo()
        assert ledger.path.read_bytes() == whole
        ledger.append_step(record)
    assert [r["n"] for r in open_ledger(tmp_path / "run").records()] == [1, 2]
