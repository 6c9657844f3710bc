"""What may stand at a place of what msgspec decodes, for whoever wrote something else there."""

import re
from collections.abc import Iterator
from typing import Any

from msgspec import inspect

from gatepost.model.meant import meant


def choices(kind: Any, path: str) -> str:
    """Return the words that may stand at a path such as `listener[0].role`, as "; there are ..."; else ""."""
    words = [word for info in _at(kind, path) for word in _words(info)]
    return f"; there are {', '.join(map(str, words))}" if words else ""


def likely(kind: Any, path: str, typed: str) -> str:
    """Return a question after the member at a path whose name is most like the one that was typed; else ""."""
    structs = (info for info in _at(kind, path) if isinstance(info, inspect.StructType))
    return meant(typed, [field.encode_name for info in structs for field in info.fields])


def _at(kind: Any, path: str) -> list[inspect.Type]:
    found = list(_flat(inspect.type_info(kind)))
    for step in re.findall(r"[^.\[\]]+|\.\.\.", path):
        found = [flat for info in found for below in _below(info, step) for flat in _flat(below)]
    return found


def _flat(info: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(info, inspect.Metadata):
        yield from _flat(info.type)
    elif isinstance(info, inspect.UnionType):
        for each in info.types:
            yield from _flat(each)
    else:
        yield info


def _below(info: inspect.Type, step: str) -> Iterator[inspect.Type]:
    if isinstance(info, inspect.StructType):
        yield from (field.type for field in info.fields if field.encode_name == step)
    elif isinstance(info, inspect.CollectionType):
        yield info.item_type
    elif isinstance(info, inspect.DictType):
        yield info.value_type


def _words(info: inspect.Type) -> list[Any]:
    if isinstance(info, inspect.EnumType):
        return [each.value for each in info.cls]
    return list(info.values) if isinstance(info, inspect.LiteralType) else []
