"""Which of the lines that brought forth other values is the one to fix.

Many lines differ once one does. The one to fix is the first of those that what went wrong was made of: its
names are followed back through the assignments of the user's code, as far as the code's text tells.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_repro.examine.fix import fix_of

_LONGEST = 200

_CLOCK = re.compile(
    r"\b(time|perf_counter|monotonic|process_time|time_ns|perf_counter_ns|strftime|ctime|now|utcnow|today)\("
)


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A line of the user's code after which two runs held different values.

    Attributes:
        file: its file.
        line: its number, from 1.
        code: its text.
        names: those of its names whose values differ.
        interval: in which interval of the trace it did so first.
    """

    file: str
    line: int
    code: str
    names: tuple[str, ...]
    interval: int

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"file": self.file, "line": self.line, "code": self.code}


def suspects_of(differences: Iterable[Mapping[str, Any]], *, cleared: Iterable[str] = ()) -> list[Suspect]:
    """The lines among the differences between two traces, each once, in the order of their first difference.

    Args:
        differences: `differences` of a parting.
        cleared: keys of lines that differ also between runs that did not part.
    """
    found: dict[str, Suspect] = {}
    known_innocent = set(cleared)
    lines = [d for d in differences if d["kind"] == "line"]
    for difference in sorted(lines, key=lambda d: (d["interval"], _first_seen(d))):
        if difference["key"] in found or difference["key"] in known_innocent:
            continue
        mine, other = difference.get("mine"), difference.get("other")
        if mine is None:
            continue  # a line that only the other run came by is the consequence of another
        theirs = other["value"] if other is not None else {}
        names = tuple(n for n, digest in mine["value"].items() if theirs.get(n) != digest)
        info = mine["info"]
        found[difference["key"]] = Suspect(
            file=info["file"],
            line=info["line"],
            code=statement_text(info["file"], info["line"]),
            names=names if other is not None else (),
            interval=difference["interval"],
        )
    return list(found.values())


def _first_seen(difference: Mapping[str, Any]) -> int:
    """When the line ran for the first time with another outcome, as a count over all lines."""
    mine, other = difference.get("mine"), difference.get("other")
    if mine is None:
        return 0
    seen = mine["info"].get("seen") or [[0, ""]]
    theirs = (other or {}).get("info", {}).get("seen") or []
    for index, (count, digest) in enumerate(seen):
        if index >= len(theirs) or theirs[index][1] != digest:
            return int(count)
    return int(seen[-1][0])


def root_of(
    suspects: Sequence[Suspect], sinks: Iterable[Mapping[str, Any] | None], *, interval: int | None = None
) -> Suspect | None:
    """The first of the suspects that led to what went wrong.

    Args:
        suspects: in the order of their first difference.
        sinks: lines where it showed, each with `file` and `line`: the call of `fit`, the line that made a
            layer. Where none leads to a suspect, the first suspect that is not just a reading of the clock.
        interval: the interval whose own lines come before what they go back to.
    """
    named = [s for s in suspects if s.names]
    code = _Code({s.file for s in suspects} | {s["file"] for s in sinks if s})
    wanted: set[str] = set()
    for sink in sinks:
        if sink is not None:
            wanted |= code.read_by(sink["file"], sink["line"])
    reached: list[Suspect] = []
    grown = True
    while grown:
        grown = False
        for suspect in named:
            if suspect in reached or not (_roots(suspect.names) & wanted or code.is_in(suspect, wanted)):
                continue
            reached.append(suspect)
            wanted |= code.read_by(suspect.file, suspect.line)
            grown = True
    order = {id(s): i for i, s in enumerate(suspects)}
    if reached:
        return _chosen(sorted(reached, key=lambda s: order[id(s)]), interval)
    timeless = [s for s in named if not _CLOCK.search(s.code)]
    return _chosen(timeless or named, interval) if named else None


def _chosen(candidates: Sequence[Suspect], interval: int | None) -> Suspect:
    """The first whose text says where the chance comes from, those of one interval before others."""
    speaking = [s for s in candidates if fix_of(s.code) is not None]
    near = [s for s in speaking if s.interval == interval]
    return next(iter([*near, *speaking, *candidates]))


def _roots(names: Iterable[str]) -> set[str]:
    """Names as they can be looked for: `self.rng` as it is, `x.y` also as `x`."""
    listed = list(names)
    return set(listed) | {n.partition(".")[0] for n in listed if not n.startswith("self.")}


@dataclass
class _Code:
    """The text of some files, as what each statement reads and in which function it stands."""

    files: set[str]
    _trees: dict[str, Any] = field(default_factory=dict)

    def read_by(self, file: str, line: int) -> set[str]:
        """Names that the statement at a line reads, and those of the functions that it calls."""
        node = self._statement(file, line)
        if node is None:
            return set()
        head = [c for c in ast.iter_child_nodes(node) if not isinstance(c, ast.stmt | ast.excepthandler)]
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            head = [node]
        return {name for part in head for name in _loads(part)}

    def is_in(self, suspect: Suspect, wanted: set[str]) -> bool:
        """Whether a line stands in a function or class that is wanted by its name."""
        return any(
            node.name in wanted
            for node in ast.walk(self._tree(suspect.file))
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
            and node.lineno <= suspect.line <= (node.end_lineno or node.lineno)
        )

    def _statement(self, file: str, line: int) -> Any:
        return _statement_at(self._tree(file), line)

    def _tree(self, file: str) -> Any:
        if file not in self._trees:
            try:
                with open(file, "rb") as opened:
                    self._trees[file] = ast.parse(opened.read())
            except (OSError, SyntaxError, ValueError):
                self._trees[file] = ast.Module(body=[], type_ignores=[])
        return self._trees[file]


def _loads(node: ast.AST) -> Iterator[str]:
    """Names that are read in a piece of code: `x`, `self.rng`, and what is called."""
    for child in ast.walk(node):
        if isinstance(child, ast.Name):
            yield child.id
        elif isinstance(child, ast.Attribute):
            yield child.attr
            if isinstance(child.value, ast.Name):
                yield f"{child.value.id}.{child.attr}"


def statement_text(file: str, line: int) -> str:
    """The statement at a line in one line, the head of a compound one; empty where there is no such file."""
    text, tree = "", None
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            text = opened.read()
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return _line_of(text, line)
    best = _statement_at(tree, line)
    if best is None:
        return _line_of(text, line)
    last = best.end_lineno or best.lineno
    inner = [c.lineno for c in ast.iter_child_nodes(best) if isinstance(c, ast.stmt)]
    if inner:
        last = max(best.lineno, min(inner) - 1)
    joined = " ".join(part.strip() for part in text.splitlines()[best.lineno - 1 : last])
    return joined if len(joined) <= _LONGEST else joined[: _LONGEST - 3] + "..."


def _statement_at(tree: Any, line: int) -> Any:
    """The innermost statement that a line belongs to."""
    best = None
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt) or not node.lineno <= line <= (node.end_lineno or node.lineno):
            continue
        if best is None or node.lineno >= best.lineno:
            best = node
    return best


def _line_of(text: str, line: int) -> str:
    lines = text.splitlines()
    return lines[line - 1].strip() if 0 < line <= len(lines) else ""
