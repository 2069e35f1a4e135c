"""Capture and restore the values that the user's code keeps outside of variables.

    values = UserValues(model, callbacks)                        # notes the present values
    packed = values.capture(values.reach(), arrays, "values")    # those that have changed since
    values.restore(packed, arrays)                               # in another process, with equal code

Restored are plain values (numbers, texts, arrays, tensors, containers of them), generators of random numbers
and lookup tables. Any other value that has changed is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from keras_repro.storage.plain_values import deep_copied
from keras_repro.training.state.user_state import has_state
from keras_repro.training.state.value_kinds import ValueClassifier
from keras_repro.training.user_values.owner import Owner
from keras_repro.training.user_values.reachable import Reached, reach
from keras_repro.training.user_values.user_value import UserValue, assign, unpacked, write

# What is saved of a value instead of its kind.
_ABSENT = "absent"  # there is none any more
_SHARED = "shared"  # it has become the object that is saved under another path
_SEPARATE = "separate"  # a plain value, which was one object with another value at the start


class UserValues:
    """The values that the code of a training can reach, and how they have changed.

    Args:
        model: the model.
        callbacks: the callbacks; of Keras's own and of those with `get_state`, only what functions use.
    """

    def __init__(self, model: Any, callbacks: Sequence[Any]) -> None:
        self._roots = {"model": model}
        for callback in callbacks:
            name = f"callback {type(callback).__name__}"
            while name in self._roots:
                name += "'"
            self._roots[name] = callback
        self._silent = {id(c) for c in callbacks if has_state(c) or type(c).__module__.startswith("keras.")}
        self._kind_of = ValueClassifier()
        self._reached: Reached | None = None
        reached = self.reach()
        self._owners = {o.path for o in reached.owners}
        values = list(_values(reached, keep=True))
        self._start = {path: value for path, _, _, value in values}
        self._start_shared = _shared(values)

    def reach(self) -> Reached:
        """Return what the code can reach; by a walk only if that may have changed."""
        if self._reached is None or not self._reached.seen.is_valid():
            self._reached = reach(self._roots, self._kind_of, silent=self._silent)
        return self._reached

    def capture(self, reached: Reached, arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
        """Return the values that have changed, for JSON, and add the arrays in them to `arrays`.

        Args:
            reached: the result of `reach`.
            arrays: receives the arrays.
            prefix: of their names.

        Returns:
            `values` by path, and `inexact`: what has changed and cannot be saved, in words.
        """
        added, saved = dict[str, Any](), dict[str, Any]()
        inexact, values = [], list(_values(reached))
        shared, present = _shared(values), {path for path, *_ in values}
        for path, owner, _, value in values:
            if owner.only_plain and path not in self._start:
                continue  # Keras has made it since
            other = shared.get(path, path)
            moved = other != self._start_shared.get(path, path)
            problem = None
            if value.kind == "iterator":
                problem = "is an iterator, which has a position"
            elif moved and other != path:
                saved[path] = [_SHARED, other]
            elif moved or self._has_changed(path, value):
                problem = self._problem(path, value, moved)
                if problem is None:
                    saved[path] = [_SEPARATE if moved else value.kind, value.packed(added, prefix)]
            if problem is not None:
                inexact.append(f"{path}{f' ({owner.line})' if owner.line else ''} {problem}")
        owners = {owner.path for owner in reached.owners}
        gone = (p for p in self._start if p not in present and p.rpartition(".")[0] in owners)
        saved |= {path: [_ABSENT, None] for path in gone}
        arrays.update({name: np.array(array) for name, array in added.items()})  # the user's may change
        return {"values": saved, "inexact": inexact}

    def restore(self, packed: Mapping[str, Any], arrays: Mapping[str, Any]) -> list[str]:
        """Restore the values of `capture`; those that are not in it, to what they were at first.

        Returns:
            The paths of values that cannot be restored.
        """
        saved = dict(packed["values"])
        reached = self.reach()
        owners = {owner.path: owner for owner in reached.owners}
        values = list(_values(reached))
        shared, failed = _shared(values), []
        for path, owner, name, value in values:
            kind, content = saved.get(path, (None, None))
            if kind == _SHARED:
                continue
            if kind is None and path not in self._start:
                is_new = owner.path in self._owners and value.kind == "plain" and not owner.only_plain
                kind = _ABSENT if is_new else None
            elif kind is None and self._has_changed(path, value) and value.can_be_saved:
                start = self._start[path]
                kind, content = start.kind, deep_copied(start.content)
                if not start.is_kept:
                    failed.append(path)
                    continue
            elif kind is not None:
                content = unpacked(content, arrays)
            if kind == _ABSENT:
                owner.remove(name)
            elif kind == _SEPARATE:
                put = write(owner, name, content) if path in shared else assign(owner, name, "plain", content)
                failed += [] if put else [path]
            elif kind is not None and not assign(owner, name, kind, content):
                failed.append(path)
        present = {path for path, *_ in values}
        for path, (kind, content) in saved.items():
            owner_path, _, name = path.rpartition(".")
            if kind == _SHARED:
                if not _share(owners, path, content):
                    failed.append(path)
            elif path not in present and kind == "plain" and owner_path in owners:
                owners[owner_path].write(name, unpacked(content, arrays))
            elif path not in present and kind != _ABSENT:
                failed.append(path)
        return failed

    @contextmanager
    def restored(self, packed: Mapping[str, Any], arrays: Mapping[str, Any]) -> Iterator[None]:
        """Restore values for the duration of the block."""
        present_arrays: dict[str, Any] = {}
        present = self.capture(self.reach(), present_arrays, "present")
        self.restore(packed, arrays)
        try:
            yield
        finally:
            self.restore(present, present_arrays)

    def _problem(self, path: str, value: UserValue, moved: bool) -> str | None:
        """Return why a value that has changed cannot be saved."""
        if value.kind == "opaque":
            return "has changed, and is not a plain value"
        if not value.can_follow(None if moved else self._start.get(path)):
            return "was made during the training"
        return None

    def _has_changed(self, path: str, value: UserValue) -> bool:
        start = self._start.get(path)
        return start is None or (start.kind, start.token) != (value.kind, value.token)


def _values(reached: Reached, *, keep: bool = False) -> Iterator[tuple[str, Owner, str, UserValue]]:
    """Yield path, owner, name and value of all that counts."""
    for owner in reached.owners:
        if owner.is_silent:
            continue
        for name, value in owner.read().items():
            known = UserValue.of(value, keep=keep)
            if known is not None and not (owner.only_plain and not known.can_be_saved):
                yield f"{owner.path}.{name}", owner, name, known


def _shared(values: Iterable[tuple[str, Owner, str, UserValue]]) -> dict[str, str]:
    """Return the paths of objects that an earlier path has too, with that path."""
    first: dict[int, str] = {}
    paths = {path: first.setdefault(v.shared_id, path) for path, _, _, v in values if v.shared_id is not None}
    return {path: other for path, other in paths.items() if path != other}


def _share(owners: Mapping[str, Owner], path: str, other: str) -> bool:
    """Bind the object of another path to a path; return whether that is possible."""
    (owner_path, _, name), (other_path, _, other_name) = path.rpartition("."), other.rpartition(".")
    owner, values = owners.get(owner_path), dict[str, Any]()
    if other_path in owners:
        values = owners[other_path].read()
    if owner is None or other_name not in values:
        return False
    return owner.read().get(name) is values[other_name] or write(owner, name, values[other_name])
