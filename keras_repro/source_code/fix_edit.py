"""Apply a fix to the text of a file: change a statement, or insert a call before all others.

>>> print(changed_statement("rng = default_rng(\\n    None,\\n)\\n", 1, "rng = default_rng( 42, )"), end="")
rng = default_rng(
    42,
)
>>> print(with_first_call('"Train."\\n\\nx = f()\\n', "keras.utils.set_random_seed(42)"), end="")
"Train."
import keras
keras.utils.set_random_seed(42)
<BLANKLINE>
x = f()
"""

from __future__ import annotations

import ast
import builtins
import difflib
import io
import re
from collections.abc import Iterator

from keras_repro.source_code.statements import LONGEST_TEXT, head_lines

_CALL = re.compile(r"[A-Za-z_][\w.]*\(.*\)")
_MOVED = re.compile(r"move it up: .*:(\d+) runs after .*:(\d+)")
# What a fix may add, by the name it has there.
_MODULES = {
    "asyncio": "asyncio",
    "keras": "keras",
    "np": "numpy",
    "random": "random",
    "tf": "tensorflow",
    "uuid": "uuid",
    "zlib": "zlib",
}
_ALIKE = 0.25  # a fix that has less in common with a statement is not a change of it


def placed_call(fix: str) -> tuple[str, str] | None:
    """Return the call and the place of a fix such as `f(42)  # first of all`; None if it is no such fix."""
    code, _, place = fix.partition("  # ")
    return (code, place) if place and _CALL.fullmatch(code) and _is_code(code) else None


def moved_call(fix: str) -> tuple[int, int] | None:
    """Return the line of a call that a fix moves up, and the line before which it must run; else None."""
    placed = placed_call(fix)
    moved = None if placed is None else _MOVED.match(placed[1])
    return None if moved is None else (int(moved[1]), int(moved[2]))


def changed_statement(text: str, line: int, fix: str) -> str | None:
    """Return a file's text with a statement changed; None if the fix is no change of a statement there.

    Args:
        text: the text of the file.
        line: a line of the statement, or a line in the body of a compound statement whose head is changed.
        fix: the changed statement, or the changed line of it, in one line.
    """
    lines, tree = _lines(text), _parsed(text)
    if tree is None or not 0 < line <= len(lines):
        return None
    around = [n for n in ast.walk(tree) if isinstance(n, ast.stmt) and n.lineno <= line <= _last(n)]
    best: tuple[float, str | None] = (_ALIKE, None)
    for numbers in dict.fromkeys([range(line, line + 1), *map(head_lines, around)]):
        changed = _changed(lines, numbers, fix)
        if changed is not None and changed[0] > best[0] and (result := _valid(changed[1], text)):
            best = changed[0], result
    return best[1]


def with_first_call(text: str, call: str, *, before: int | None = None) -> str | None:
    """Return a file's text with a call that runs before all else that needs it; None if that is impossible.

    The call is inserted after the import of the module that it uses, or else, with an import of its own,
    after the docstring, `from __future__` imports and settings of environment variables.

    Args:
        text: the text of the file.
        call: the call.
        before: the first line that needs it; None for any line that can.
    """
    tree = _parsed(text)
    if tree is None or not _is_code(call):
        return None
    last = len(_lines(text)) + 1 if before is None else before
    start = _after_settings(tree)
    names = _imported(tree)
    imports = ""
    for name, module in _needed(call):
        known = names.get(module)
        if known is not None and before is not None and known[1] < last:
            start = max(start, known[1])
            call = re.sub(rf"\b{name}\b(?=\.)", known[0], call)
        else:
            imports += _import(name, module)
    for name in _names(call):
        defined = _last_definition(tree, name, before=last)
        if defined is not None:
            start = max(start, defined)
    if start >= last:
        return None
    return _valid(_inserted(text, start, f"{imports}{call}\n"), text, add_imports=False)


def with_moved_call(text: str, line: int, *, before: int) -> str | None:
    """Return a file's text with a call moved up; None if that is impossible.

    Args:
        text: the text of the file.
        line: the line of the call, a statement of its own.
        before: the line before which it must run.
    """
    tree = _parsed(text)
    found = (n for n in ast.walk(tree or ast.Module([], [])) if isinstance(n, ast.Expr) and n.lineno == line)
    statement = next(found, None)
    if statement is None or statement.end_lineno is None:
        return None
    lines = _lines(text)
    call = ast.get_source_segment(text, statement) or ""
    indent = lines[line - 1][: statement.col_offset]
    if lines[line - 1][: statement.col_offset].strip() or "\n" in call:
        return None
    # A body needs a statement.
    lines[line - 1] = f"{indent}pass{_end(lines[line - 1])}"
    return with_first_call("".join(lines), call, before=before)


def _changed(lines: list[str], numbers: range, fix: str) -> tuple[float, str] | None:
    """Return how much a fix has in common with some lines, and the whole text with these lines changed."""
    characters: list[tuple[str, int]] = []  # of the lines joined by a space, with their offset in the text
    offset = sum(len(text) for text in lines[: numbers[0] - 1])
    for number in numbers:
        text = lines[number - 1]
        begin = len(text) - len(text.lstrip())
        stripped = text.strip()
        characters += [(" ", offset)] if characters else []
        characters += [(c, offset + begin + i) for i, c in enumerate(stripped)]
        offset += len(text)
    old = "".join(c for c, _ in characters)
    if not old or old == fix:
        return None
    if len(old) > LONGEST_TEXT and fix.endswith("..."):
        old = old[: LONGEST_TEXT - 3]
        fix = fix.removesuffix("...")
    matcher = difflib.SequenceMatcher(None, old, fix, autojunk=False)
    whole = "".join(lines)
    for kind, i, j, k, m in reversed(matcher.get_opcodes()):
        if kind == "equal":
            continue
        begin = characters[i][1] if i < len(characters) else characters[-1][1] + 1
        end = begin if i == j else characters[j - 1][1] + 1
        if i == j and i and (i == len(characters) or characters[i][0] == " "):
            begin = end = characters[i - 1][1] + 1  # right after the character before it
        whole = whole[:begin] + fix[k:m] + whole[end:]
    return matcher.ratio(), whole


def _valid(text: str, original: str, *, add_imports: bool = True) -> str | None:
    """Return a changed text with the imports that it needs, None if it is no code."""
    tree, before = _parsed(text), _parsed(original)
    if tree is None or before is None or text == original:
        return None
    if not add_imports:
        return text
    bound = {name for name, _ in _imported(tree).values()} | set(_stored(tree)) | set(dir(builtins))
    missing = [n for n in dict.fromkeys(_names_of(tree)) if n not in bound and n not in _names_of(before)]
    for name in missing:
        module = _MODULES.get(name)
        if module is None:
            return None
        known = _imported(before).get(module)
        if known is not None:
            text = re.sub(rf"(?<![\w.]){name}\b(?=\.)", known[0], text)
        else:
            text = _inserted(text, _after_future(tree), _import(name, module))
    return text if _parsed(text) is not None else None


def _needed(call: str) -> Iterator[tuple[str, str]]:
    for name in dict.fromkeys(_names(call)):
        if name in _MODULES:
            yield name, _MODULES[name]


def _names(code: str) -> list[str]:
    tree = _parsed(code)
    return [] if tree is None else _names_of(tree)


def _names_of(tree: ast.AST) -> list[str]:
    return [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]


def _stored(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((a.asname or a.name.partition(".")[0]) for a in node.names)


def _imported(tree: ast.Module) -> dict[str, tuple[str, int]]:
    """Return, for each module that is imported at the top level, its name and the import's last line."""
    found: dict[str, tuple[str, int]] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname is not None or "." not in alias.name:
                    found.setdefault(alias.name, (alias.asname or alias.name, _last(node)))
                else:
                    top = alias.name.partition(".")[0]
                    found.setdefault(top, (top, _last(node)))
        elif isinstance(node, ast.ImportFrom) and node.module == "tensorflow":
            for alias in node.names:
                if alias.name == "keras":
                    found.setdefault("keras", (alias.asname or "keras", _last(node)))
    return found


def _last_definition(tree: ast.Module, name: str, *, before: int) -> int | None:
    """Return the last line of the last top-level statement that binds a name before a line."""
    lines = [
        _last(n) for n in tree.body if _last(n) < before and name not in _MODULES and name in set(_stored(n))
    ]
    return max(lines, default=None)


def _after_future(tree: ast.Module) -> int:
    """Return the last line of the docstring and the `from __future__` imports, 0 without any."""
    line = 0
    for number, node in enumerate(tree.body):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and number == 0
        if is_text or (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            line = _last(node)
    return line


def _after_settings(tree: ast.Module) -> int:
    """Return the last line of what must come before the first import of a framework."""
    line = _after_future(tree)
    for node in tree.body:
        if "environ" in ast.unparse(node) and not hasattr(node, "body"):
            line = _last(node)
        elif not isinstance(node, ast.Import | ast.ImportFrom) and _last(node) > line:
            break
    return line


def _import(name: str, module: str) -> str:
    return f"import {module}\n" if name == module else f"import {module} as {name}\n"


def _inserted(text: str, after: int, code: str) -> str:
    """Insert code after a line of a text, with the text's own ends of lines."""
    lines = _lines(text)
    end = _end(lines[0]) if lines else "\n"
    if after and not _end(lines[after - 1]):
        lines[after - 1] += end
    lines.insert(after, code.replace("\n", end))
    return "".join(lines)


def _lines(text: str) -> list[str]:
    return list(io.StringIO(text, newline=""))


def _end(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]


def _last(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def _is_code(code: str) -> bool:
    return _parsed(code) is not None


def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
