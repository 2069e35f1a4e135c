"""The names that hold tables of pandas, by the text of the code."""

from __future__ import annotations

import ast

from keras_repro.source_code.dataflow import SourceModel
from keras_repro.source_code.statements import last_name

_PANDAS = {"pd", "pandas"}
_TYPES = {"DataFrame", "Series"}


def frames(code: SourceModel) -> set[str]:
    """Return the names and attributes that are assigned a table of pandas, or that are annotated as one."""
    assigned: list[tuple[str, ast.AST]] = []
    known: set[str] = set()
    for _, node in code.nodes():
        if isinstance(node, ast.Assign):
            assigned += [(ast.unparse(target), node.value) for target in node.targets]
        annotation = getattr(node, "annotation", None)
        types = set() if annotation is None else {_last_word(n) for n in ast.walk(annotation)}
        if isinstance(node, ast.AnnAssign | ast.arg) and types & _TYPES:
            known.add(node.arg if isinstance(node, ast.arg) else ast.unparse(node.target))
    while True:
        grown = known | {name for name, value in assigned if _is_frame(value, known)}
        if grown == known:
            return known
        known = grown


def _is_frame(node: ast.AST, known: set[str]) -> bool:
    """Return whether an expression is a call of pandas, or a part or a method of one of the tables."""
    while not isinstance(node, ast.Name) and ast.unparse(node) not in known:
        if isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Attribute | ast.Subscript):
            if getattr(node, "attr", "") in ("values", "to_numpy", "to_dict", "tolist", "to_list"):
                return False
            node = node.value
        else:
            return False
    return ast.unparse(node) in known or (isinstance(node, ast.Name) and node.id in _PANDAS)


def _last_word(node: ast.AST) -> str:
    """Return the last name of an annotation, which may be a string."""
    return (
        str(getattr(node, "value", "")).rpartition(".")[2]
        if isinstance(node, ast.Constant)
        else last_name(node)
    )
