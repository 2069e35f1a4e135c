"""The user's files with fixes applied to their text; nothing is written.

files = FixedFiles("/project/train.py")
files.apply([(source, "rng = np.random.default_rng(42)")])      # [True]
files.line_after(source.file, 12)       # the number of line 12 in the changed text
dict(files.contents())                  # {"/project/train.py": b"..."}
"""

from __future__ import annotations

import difflib
import io
import os
import tokenize
from collections.abc import Iterator, Sequence

from keras_repro.source_code.fix_edit import (
    changed_statement,
    moved_call,
    placed_call,
    with_first_call,
    with_moved_call,
)
from keras_repro.utils.source_line import SourceLine


class FixedFiles:
    """Texts of files that fixes change.

    Args:
        script: the file that runs first: a call that must run first of all goes there. None if not known.
    """

    def __init__(self, script: str | None) -> None:
        self._script = None if script is None else os.path.realpath(script)
        self._before: dict[str, str] = {}
        self._after: dict[str, str] = {}
        self._encodings: dict[str, str] = {}

    def apply(self, fixes: Sequence[tuple[SourceLine, str]]) -> list[bool]:
        """Apply fixes to the texts, and return for each whether it could be applied.

        Args:
            fixes: the line and the fix for it, as a diagnosis gives them.
        """
        applied: list[bool] = []
        calls: dict[str, bool] = {}
        for source, fix in fixes:
            placed, moved = placed_call(fix), moved_call(fix)
            if placed is None:
                changed, _, first = fix.partition("  # with ")
                applied.append(self._change(source, changed if first else fix))
                if first and applied[-1]:
                    call = first.removesuffix(" first of all")
                    applied[-1] = calls[call] = self._call_first(call, [source])
            elif placed[0] in calls:
                applied.append(calls[placed[0]])
            else:
                same = [s for s, f in fixes if (placed_call(f) or ("", ""))[0] == placed[0]]
                done = moved is not None and self._move(source, *moved)
                calls[placed[0]] = done or self._call_first(placed[0], same)
                applied.append(calls[placed[0]])
        return applied

    def line_after(self, file: str, line: int) -> int:
        """Return the number of a line of a file in its changed text."""
        path = os.path.realpath(file)
        if path not in self._after:
            return line
        before, after = (text[path].splitlines() for text in (self._before, self._after))
        matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
        for kind, i, j, k, m in matcher.get_opcodes():
            if i < line <= j:
                alike = difflib.get_close_matches(before[line - 1], after[k:m], n=1, cutoff=0.0)
                return k + (line - i if kind == "equal" or not alike else 1 + after[k:m].index(alike[0]))
        return line

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Yield the path and the new content of each file that is changed."""
        for path, text in self._after.items():
            yield path, text.encode(self._encodings[path])

    def _change(self, source: SourceLine, fix: str) -> bool:
        text = self._text(source.file)
        if text is None:
            return False
        return self._set(source.file, changed_statement(text, self.line_after(source.file, source.line), fix))

    def _call_first(self, call: str, sources: Sequence[SourceLine]) -> bool:
        files = {os.path.realpath(s.file) for s in sources}
        script = self._script or min(files)
        text = self._text(script)
        if text is None:
            return False
        lines = [self.line_after(s.file, s.line) for s in sources]
        # Another file's lines may run while it is imported.
        return self._set(
            script, with_first_call(text, call, before=min(lines) if files == {script} else None)
        )

    def _move(self, source: SourceLine, line: int, before: int) -> bool:
        text = self._text(source.file)
        if text is None or (self._script is not None and os.path.realpath(source.file) != self._script):
            return False
        moved = (self.line_after(source.file, number) for number in (line, before))
        return self._set(source.file, with_moved_call(text, next(moved), before=next(moved)))

    def _text(self, file: str) -> str | None:
        path = os.path.realpath(file)
        if path not in self._before:
            try:
                with open(path, "rb") as opened:
                    data = opened.read()
                encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
                self._before[path], self._encodings[path] = data.decode(encoding), encoding
            except (OSError, SyntaxError, UnicodeDecodeError):
                return None
        return self._after.get(path, self._before[path])

    def _set(self, file: str, text: str | None) -> bool:
        if text is not None:
            self._after[os.path.realpath(file)] = text
        return text is not None
