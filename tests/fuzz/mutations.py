"""Mutations of ledgers, sketches and snapshots: of their structure, with checks that fit, and of bytes."""

from __future__ import annotations

import copy
import io
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import blake3
import h5py
import numpy as np
from fuzz.hostile import HOSTILE, any_value, change_container, containers, hostile_text

from keras_repro.ledger.chain import FIRST_LINK, next_link

KINDS = (
    "fit",
    "start",
    "birth",
    "epoch",
    "end",
    "evaluation",
    "prediction",
    "loop",
    "exit",
    "step",
    "note",
    "x",
)


@dataclass
class Run:
    """A copy of a run folder in memory: file contents by relative path."""

    files: dict[str, bytes]

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Read all files of a run folder."""
        paths = [p for p in sorted(folder.rglob("*")) if p.is_file()]
        return cls({p.relative_to(folder).as_posix(): p.read_bytes() for p in paths})

    def write(self, folder: Path) -> None:
        """Write the files to a new folder."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def mutate(run: Run, random: Random) -> str:
    """Mutate a run; return the name of the mutation."""
    mutations: list[Callable[[Run, Random], None]] = [ledger_structure] * 8 + [ledger_bytes] * 3
    if "sketches.bin" in run.files:
        mutations += [sketch_structure] * 2 + [
            sketch_bytes,
            snapshot_structure,
            snapshot_structure,
            snapshot_bytes,
        ]
    mutation = random.choice(mutations)
    mutation(run, random)
    return mutation.__name__


# Ledgers.


def ledger_structure(run: Run, random: Random) -> None:
    """Change values, keys and lines of a ledger; its line checks fit, and its links mostly."""
    lines = [json.loads(line.rpartition(b',"check":')[0] + b"}") for line in _whole_lines(run)]
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        random.choice(_LINE_CHANGES)(lines, random)
    raw = random.random() < 0.1
    run.files["ledger.jsonl"] = sealed(lines, links=random.random() < 0.8, raw=random if raw else None)


def ledger_bytes(run: Run, random: Random) -> None:
    """Change bytes of a ledger, or add a line that is hard to parse."""
    content = run.files["ledger.jsonl"]
    if random.random() < 0.1:
        number = len(content.splitlines())
        body = b'{"kind":"x","x":' + random.choice(
            (b"[" * 100_000, b"[" + b"[]," * 2_000_000, b'{"":' * 50_000, b"9" * 90_000)
        )
        run.files["ledger.jsonl"] = content + _sealed(body + b',"n":%d' % number)
        return
    run.files["ledger.jsonl"] = _changed_bytes(content, random)


def sealed(lines: list[dict[str, Any]], *, links: bool, raw: Random | None = None) -> bytes:
    """Return the lines of a ledger, numbered and with line checks.

    Args:
        lines: their JSON.
        links: whether to compute the links anew.
        raw: replaces a number by one that is not JSON, or is not finite; None for valid JSON.
    """
    link, out = FIRST_LINK, []
    for number, line in enumerate(lines):
        data = {k: v for k, v in line.items() if k not in ("n", "check")}
        if links and data.get("link"):
            link = _link(link, data) or link
            data["link"] = link
        text = json.dumps(data | {"n": number}, separators=(",", ":"))
        if raw is not None and number == raw.randrange(len(lines)):
            text = text.replace("0.5", raw.choice(("NaN", "-Infinity", "1e999", "-1E+400", "1e-999", "00")))
        out.append(_sealed(text[:-1].encode()))
    return b"".join(out)


def _link(link: str, data: dict[str, Any]) -> str | None:
    numbers = [data.get(name) for name in ("fit", "epoch", "index")]
    try:
        position = " ".join([data["kind"], *(str(n) for n in numbers if n is not None)])
        return next_link(link, position, data.get("sections", {}))
    except Exception:  # the mutation left something else there
        return None


def _sealed(body: bytes) -> bytes:
    return body + b',"check":"' + blake3.blake3(body).hexdigest()[:16].encode() + b'"}\n'


def _whole_lines(run: Run) -> list[bytes]:
    return [line for line in run.files["ledger.jsonl"].splitlines(keepends=True) if line.endswith(b"\n")]


def _change_value(lines: list[dict[str, Any]], random: Random) -> None:
    change_container(_any_container(lines, random), random)


def _any_container(lines: list[Any], random: Random) -> Any:
    """Return a list or a mapping; each kind of place is as likely, however often it occurs."""
    places: dict[tuple[str, ...], list[Any]] = {}
    for line in lines[:1] if random.random() < 0.4 else lines:
        for place, container in containers(line, (str(line.get("kind"))[:9],)):
            places.setdefault(place, []).append(container)
    return random.choice(random.choice(list(places.values())))


def _rename_everywhere(lines: list[dict[str, Any]], random: Random) -> None:
    """Rename a tensor, a metric or a group wherever it appears."""
    names = _any_container(lines, random)
    if not isinstance(names, dict) or not names or "kind" in names:
        return
    old, new = random.choice(list(names)), hostile_text(random)
    for line in lines:
        for _, container in list(containers(line)):
            if isinstance(container, dict) and old in container and container is not line:
                items = [(new if k == old else k, v) for k, v in container.items()]
                container.clear()
                container.update(items)


def _change_values_everywhere(lines: list[dict[str, Any]], random: Random) -> None:
    """Give a field another value wherever it appears."""
    names = _any_container(lines, random)
    if not isinstance(names, dict) or not names:
        return
    name, value = random.choice(list(names)), any_value(random)
    for line in lines:
        for _, container in list(containers(line)):
            if isinstance(container, dict) and name in container:
                container[name] = copy.deepcopy(value)


def _change_metrics(lines: list[dict[str, Any]], random: Random) -> None:
    """Rename a metric, or change its value, everywhere: to short texts, since wide columns are left out."""
    name, value = random.choice(HOSTILE)[:40], random.choice(HOSTILE)[:40]
    for line in lines:
        if isinstance(metrics := line.get("metrics"), dict) and metrics:
            old = next(iter(metrics))
            line["metrics"] = {name: metrics[old]} if random.random() < 0.9 else metrics | {old: value}


def _remove_line(lines: list[dict[str, Any]], random: Random) -> None:
    del lines[random.randrange(len(lines))]
    if not lines:
        lines.append({})


def _repeat_line(lines: list[dict[str, Any]], random: Random) -> None:
    lines.insert(random.randrange(len(lines) + 1), copy.deepcopy(random.choice(lines)))


def _swap_lines(lines: list[dict[str, Any]], random: Random) -> None:
    a, b = random.randrange(len(lines)), random.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]


def _change_kind(lines: list[dict[str, Any]], random: Random) -> None:
    random.choice(lines)["kind"] = random.choice((*KINDS, hostile_text(random)))


_LINE_CHANGES = [
    *[_change_value] * 8,
    *[_rename_everywhere, _change_values_everywhere, _change_metrics] * 2,
    *[_remove_line, _repeat_line, _swap_lines, _change_kind],
]


# Sketches.


def sketch_structure(run: Run, random: Random) -> None:
    """Change frames of a file of sketches; their checks fit."""
    content = run.files["sketches.bin"]
    frames, at = [], 16
    while at < len(content):
        kind, length = struct.unpack_from("<II", content, at)
        frames.append([kind, content[at + 16 : at + 16 + length]])
        at += 24 + length
    frame = random.choice(frames)
    action = random.random()
    if action < 0.4 and frames[0][0] == 1:
        listed = json.loads(frames[0][1])
        for _ in range(random.choice((1, 2))):
            change_container(random.choice([c for _, c in containers(listed)]), random)
        frames[0][1] = json.dumps(listed).encode()
    elif action < 0.5:
        frame[0] = random.choice((0, 1, 2, 9))
    elif action < 0.6:
        frames.insert(random.randrange(len(frames)), list(frame))
    elif action < 0.7:
        frames.remove(frame)
    else:
        frame[1] = _changed_bytes(frame[1], random)
    packed = []
    for kind, payload in frames:
        head = struct.pack("<II", kind, len(payload))
        packed += [
            head,
            blake3.blake3(head).digest(length=8),
            payload,
            blake3.blake3(payload).digest(length=8),
        ]
    run.files["sketches.bin"] = content[:16] + b"".join(packed)


def sketch_bytes(run: Run, random: Random) -> None:
    """Change bytes of a file of sketches."""
    run.files["sketches.bin"] = _changed_bytes(run.files["sketches.bin"], random)


# Snapshots. Their digest in the ledger fits, since it is not in the chain.


def snapshot_structure(run: Run, random: Random) -> None:
    """Change the index of a snapshot, or the kind of its datasets."""
    name = random.choice([n for n in run.files if n.startswith("snapshots/")])
    with h5py.File(io.BytesIO(run.files[name]), "r") as file:
        arrays = {key: np.asarray(file[key]) for key in file}
    index = json.loads(arrays.pop("index").tobytes())
    for _ in range(random.choice((0, 1, 1, 2))):
        change_container(random.choice([c for _, c in containers(index)]), random)
    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        text = json.dumps(index).encode()
        file["index"] = np.frombuffer(text, "u1")
        chosen = random.choice([*arrays, None])
        for key, array in arrays.items():
            if key != chosen or not len(array):
                file[key] = array
            else:
                _odd_dataset(file, key, array, random)
    _replace_snapshot(run, name, made.getvalue())


def _odd_dataset(file: h5py.File, key: str, array: np.ndarray, random: Random) -> None:
    action = random.randrange(6)
    if action == 0:
        file[key] = h5py.ExternalLink("/etc/passwd", "/x")
    elif action == 1:
        file.create_dataset(key, data=array, chunks=True, compression="gzip")
    elif action == 2:
        file.create_dataset(key, (1 << 44,), "u1")
    elif action == 3:
        file.create_dataset(key, (array.size,), "u1", external=[("/etc/passwd", 0, array.size)])
    elif action == 4:
        file[key] = np.zeros(len(array) + random.choice((-1, 1)), "u1")
    else:
        values = array.copy()
        values[:] = np.frombuffer(random.randbytes(len(values)), "u1")
        file[key] = values


def snapshot_bytes(run: Run, random: Random) -> None:
    """Change bytes of a snapshot."""
    name = random.choice([n for n in run.files if n.startswith("snapshots/")])
    _replace_snapshot(run, name, _changed_bytes(run.files[name], random))


def _replace_snapshot(run: Run, name: str, content: bytes) -> None:
    lines = [json.loads(line.rpartition(b',"check":')[0] + b"}") for line in _whole_lines(run)]
    for line in lines:
        if isinstance(snapshot := line.get("snapshot"), dict) and snapshot.get("file") == name:
            snapshot["digest"] = blake3.blake3(content).hexdigest()
    run.files[name] = content
    run.files["ledger.jsonl"] = sealed(lines, links=True)


def _changed_bytes(content: bytes, random: Random) -> bytes:
    """Return the bytes with one or more of them changed, inserted, removed, repeated, or cut off."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8))):
        at, length = random.randrange(len(data) + 1), random.choice((1, 1, 2, 8, 300))
        action = random.randrange(7)
        if action == 0:
            data[at : at + length] = random.randbytes(len(data[at : at + length]))
        elif action == 1:
            del data[at : at + length]
        elif action == 2:
            data[at:at] = random.randbytes(length)
        elif action == 3:
            data[at:at] = data[at : at + length]
        elif action == 4:
            data[at : at + length] = bytes(len(data[at : at + length]))
        elif action == 5 and at < len(data):
            data[at] ^= 1 << random.randrange(8)
        else:
            del data[at:]
    return bytes(data)
