"""Note what a walk through a model sees, to check later whether it would see the same.

A walk takes some 40 ms for hundreds of layers, and finds the same in nearly every epoch. So the names of the
attributes of objects and the items of containers are noted: by identity if they can lead to a variable, else
only that they cannot. The check takes a tenth of the time. Like the walk, it calls no method of the user's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Items = Callable[[], Iterable[Any]]
Attributes = Callable[[], dict[str, Any]]


class WalkCache:
    """Note what a walk sees.

    Args:
        plain: the types whose instances lead to no variable; the walk adds to it.
    """

    def __init__(self, plain: set[type]) -> None:
        self._plain = plain
        self._plain_containers: list[Items] = []
        self._containers: list[tuple[Items, list[Any]]] = []
        self._mappings: list[tuple[Items, list[Any]]] = []
        self._objects: list[tuple[Any, Attributes | None, list[str], list[Any]]] = []
        self._results: list[tuple[Callable[[Any], Any], Any, Any]] = []
        self._references: list[Any] = []  # ids are reused: what is known by its id must stay alive

    def plain_container(self, values: Items) -> None:
        """Note a container of plain values."""
        self._plain_containers.append(values)

    def container(self, items: Items) -> None:
        """Note the items of a list, tuple or set."""
        self._containers.append((items, self._marks(items(), hold=True)))

    def mapping(self, entries: Items) -> None:
        """Note the keys and values of a dict."""
        listed = list(entries())
        self._references.append([key for key, _ in listed])
        self._mappings.append((entries, self._entry_marks(listed, hold=True)))

    def attributes(self, value: Any, read: Attributes | None) -> None:
        """Note an object's attributes.

        Args:
            value: the object.
            read: returns the attributes by name; None if they are the `__dict__`.
        """
        now = vars(value) if read is None else read()
        self._objects.append((value, read, list(now), self._marks(now.values(), hold=True)))

    def result(self, function: Callable[[Any], Any], argument: Any) -> None:
        """Note the result of a function of ours, such as the `tf.Variable` of a Keras variable."""
        self._results.append((function, argument, function(argument)))

    def is_valid(self) -> bool:
        """Return whether a walk would see the same."""
        try:
            return (
                all(function(argument) is result for function, argument, result in self._results)
                and all(self._plain.issuperset(map(type, values())) for values in self._plain_containers)
                and all(self._marks(items()) == marks for items, marks in self._containers)
                and all(self._entry_marks(list(entries())) == marks for entries, marks in self._mappings)
                and all(self._is_same(*known) for known in self._objects)
            )
        except RuntimeError:  # another thread changes a container meanwhile
            return False

    def _entry_marks(self, entries: list[Any], *, hold: bool = False) -> list[Any]:
        # Other keys may have a comparison of the user's: their ids are compared.
        keys = [key if type(key) in _COMPARABLE else id(key) for key, _ in entries]
        return keys + self._marks([value for _, value in entries], hold=hold)

    def _is_same(self, value: Any, read: Attributes | None, names: list[str], marks: list[Any]) -> bool:
        now = vars(value) if read is None else read()
        return list(now) == names and self._marks(now.values()) == marks

    def _marks(self, values: Iterable[Any], *, hold: bool = False) -> list[Any]:
        """Return each value's id; None for a plain one, which may become another plain one."""
        plain = self._plain
        if not hold:
            return [None if type(v) in plain else id(v) for v in values]
        listed = list(values)
        self._references.append([v for v in listed if type(v) not in plain])
        return [None if type(v) in plain else id(v) for v in listed]


_COMPARABLE = (str, int, float, bool, bytes, type(None))
