"""What a walk through a model saw, and whether it would see the same again.

A walk takes some 40 ms where there are hundreds of layers, and finds the same in nearly every epoch. So it
notes of each object the names of its attributes, and of each container its items: by identity where they can
lead to a variable, else only that they cannot. Looking all that over takes a tenth of the time. It calls no
method of the user's, as the walk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Read = Callable[[], Iterable[Any]]
Held = Callable[[], dict[str, Any]]


class WalkCache:
    """Notes what a walk sees.

    Args:
        plain: the types whose instances lead to no variable; it grows while the walk goes on.
    """

    def __init__(self, plain: set[type]) -> None:
        self._plain = plain
        self._plain_containers: list[Read] = []
        self._containers: list[tuple[Read, list[Any]]] = []
        self._mappings: list[tuple[Read, list[Any]]] = []
        self._objects: list[tuple[Any, Held | None, list[str], list[Any]]] = []
        self._values: list[tuple[Callable[[Any], Any], Any, Any]] = []
        self._kept: list[Any] = []  # what is known by its id must not make way for something else

    def plain_container(self, values: Read) -> None:
        """Notes a container that holds nothing to look into."""
        self._plain_containers.append(values)

    def container(self, items: Read) -> None:
        """Notes the items of a list, tuple or set."""
        self._containers.append((items, self._marks(items(), keep=True)))

    def mapping(self, entries: Read) -> None:
        """Notes the keys and values of a dict."""
        listed = list(entries())
        self._kept.append([key for key, _ in listed])
        marks = _keys(listed) + self._marks([held for _, held in listed], keep=True)
        self._mappings.append((entries, marks))

    def attributes(self, value: Any, held: Held | None) -> None:
        """Notes an object's attributes.

        Args:
            value: the object.
            held: gives all of them by name, where they are not just its `__dict__`.
        """
        now = held() if held is not None else vars(value)
        self._objects.append((value, held, list(now), self._marks(now.values(), keep=True)))

    def value(self, ask: Callable[[Any], Any], of: Any) -> None:
        """Notes what a function of ours says of something, such as the `tf.Variable` behind a variable."""
        self._values.append((ask, of, ask(of)))

    def hold(self) -> bool:
        """Whether a walk would see the same again."""
        try:
            return (
                all(ask(of) is answer for ask, of, answer in self._values)
                and all(self._plain.issuperset(map(type, values())) for values in self._plain_containers)
                and all(self._marks(items()) == marks for items, marks in self._containers)
                and all(self._mapped(list(entries())) == marks for entries, marks in self._mappings)
                and all(self._has_same(*known) for known in self._objects)
            )
        except RuntimeError:  # another thread changes a container while we look
            return False

    def _mapped(self, entries: list[Any]) -> list[Any]:
        return _keys(entries) + self._marks([held for _, held in entries])

    def _has_same(self, value: Any, held: Held | None, names: list[str], marks: list[Any]) -> bool:
        now = vars(value) if held is None else held()
        return list(now) == names and self._marks(now.values()) == marks

    def _marks(self, values: Iterable[Any], *, keep: bool = False) -> list[Any]:
        """Each value's id, None for those of plain types: they may be others, as long as they are plain."""
        plain = self._plain
        if not keep:
            return [None if type(v) in plain else id(v) for v in values]
        listed = list(values)
        self._kept.append([v for v in listed if type(v) not in plain])
        return [None if type(v) in plain else id(v) for v in listed]


def _keys(entries: list[Any]) -> list[Any]:
    """Keys that can be compared without asking the user's code, the ids of others."""
    return [key if type(key) in _COMPARED else id(key) for key, _ in entries]


_COMPARED = (str, int, float, bool, bytes, type(None))
