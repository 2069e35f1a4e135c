"""Frozen dataclasses as JSON and back, by their annotations.

>>> @dataclasses.dataclass(frozen=True)
... class Step(JsonRecord):
...     number: int
...     names: tuple[str, ...] = ()
>>> Step.from_dict({"number": 3, "names": ["a"]})
Step(number=3, names=('a',))
"""

from __future__ import annotations

import dataclasses
import functools
import json
import typing
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, ClassVar, Self

_Decode = Callable[[Any], Any]


class JsonRecord:
    """Base of dataclasses whose fields hold scalars, tuples, string-keyed mappings and such dataclasses.

    Attributes:
        tag: identifies the class among those of a union; in the JSON form if it is not empty.
    """

    tag: ClassVar[str] = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        data: dict[str, Any] = json.loads(self.to_json())
        return data

    def to_json(self) -> str:
        """Return the JSON text."""
        return json.dumps(self, default=_fields_of, separators=(",", ":"))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the JSON form.

        Raises:
            KeyError: a field is missing, or a `tag` is unknown.
            TypeError: a value has another type than its field.
        """
        record: Self = decode(cls, data)
        return record


def _fields_of(record: Any) -> dict[str, Any]:
    tag = {"tag": record.tag} if record.tag else {}
    return tag | {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}


def decode(hint: Any, data: Any) -> Any:
    """Read the JSON form of a value.

    Args:
        hint: its type, as an annotation has it.
        data: what the JSON text held.

    Raises:
        KeyError: a field is missing, or a `tag` is unknown.
        TypeError: a value has another type than its field.
    """
    return _decoder(hint)(data)


@functools.cache
def _decoder(hint: Any) -> _Decode:
    if isinstance(hint, typing.TypeVar):
        return _decoder(hint.__bound__)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(origin or hint):
        return _dataclass_decoder(origin or hint)
    if origin in (typing.Union, UnionType):
        return _union_decoder(arguments)
    if origin is tuple:
        return _tuple_decoder(arguments)
    if origin is Mapping:
        return _mapping_decoder(_decoder(arguments[1]))
    return (lambda data: data) if hint is Any else lambda data: _checked(data, hint)


def _dataclass_decoder(cls: Any) -> _Decode:
    hints = typing.get_type_hints(cls)
    decoders = [(f.name, _is_required(f), _decoder(hints[f.name])) for f in dataclasses.fields(cls)]

    def decode_dataclass(data: Any) -> Any:
        _checked(data, dict)
        values = {n: decoder(data[n]) for n, required, decoder in decoders if required or n in data}
        return cls(**values)

    return decode_dataclass


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _union_decoder(members: tuple[Any, ...]) -> _Decode:
    others = [m for m in members if m is not NoneType]
    if len(others) == 1:
        decode_value = _decoder(others[0])
    else:
        by_tag = {member.tag: _decoder(member) for member in others}

        def decode_value(data: Any) -> Any:
            return by_tag[_checked(data, dict)["tag"]](data)

    if len(others) == len(members):
        return decode_value
    return lambda data: None if data is None else decode_value(data)


def _tuple_decoder(arguments: tuple[Any, ...]) -> _Decode:
    decoders = [_decoder(a) for a in arguments if a is not Ellipsis]
    if Ellipsis in arguments:
        (decode_item,) = decoders
        return lambda data: tuple([decode_item(v) for v in _checked(data, list)])
    return lambda data: tuple([d(v) for d, v in zip(decoders, _checked(data, list), strict=True)])


def _mapping_decoder(decode_value: _Decode) -> _Decode:
    return lambda data: {key: decode_value(value) for key, value in _checked(data, dict).items()}


def _checked(data: Any, kind: type) -> Any:
    if not isinstance(data, kind):
        raise TypeError(f"expected {kind.__name__}, got {type(data).__name__}")
    return data
