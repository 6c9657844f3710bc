"""Lists: offset, pageSize, sort and the one filter of a request, read into a Query."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from unicodedata import normalize

from msgspec.structs import replace

from gatepost.api.ids import Ids
from gatepost.model.address import BadAddress, domain_name, parse_address
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Condition, Op, Pattern, Query, Where

PAGE = 40
LARGEST_PAGE = 1000  # contract A38
_FARTHEST = 2**53 - 1

Params = Sequence[tuple[str, str]]
Reading = Callable[[str, Ids], Where]
"""Makes a condition of a filter's text; raises Problem."""


@dataclass(frozen=True)
class Listing:
    """What a list can be sorted by and filtered on; names are the JSON members' (`other` spellings: contract A39)."""

    sort: str
    sorts: tuple[str, ...]
    filters: Mapping[str, Reading] = field(default_factory=dict)
    other: Mapping[str, str] = field(default_factory=dict)

    def read(self, params: Params, ids: Ids, *, whole: bool = False) -> Query:
        """Read a request's parameters; unknown ones are ignored, faulty ones raise MALFORMED (contract A37, A38).

        `whole` asks for all of the list unless the request gives a window (contract A48).
        """
        limit = min(_number(params, "pageSize", PAGE, least=1), LARGEST_PAGE)
        windowed = _last(params, "offset") or _last(params, "pageSize")
        return Query(
            where=self._where(params, ids),
            sort=self._sort(params),
            offset=_number(params, "offset", 0, least=0),
            limit=None if whole and not windowed else limit,
            total=True,
        )

    def _where(self, params: Params, ids: Ids) -> Condition:
        given = [(name, value) for name, value in params if name in self.filters]
        if not given:
            return All(())
        if len(given) > 1:
            raise Problem(Kind.MALFORMED, "Only one filter may be given.", pointer=f"/{given[1][0]}")
        name, value = given[0]
        return self.filters[name](value, ids)

    def _sort(self, params: Params) -> str:
        text = _last(params, "sort") or self.sort
        name = self.other.get(text.removeprefix("-"), text.removeprefix("-"))
        if name not in self.sorts:
            raise Problem(Kind.MALFORMED, f"Lists can be sorted by {', '.join(self.sorts)}.", pointer="/sort")
        return ("-" if text.startswith("-") else "") + snake(name)


def _last(params: Params, name: str) -> str:
    return next((value for key, value in reversed(params) if key == name), "")


def _number(params: Params, name: str, default: int, *, least: int) -> int:
    text = _last(params, name)
    if not text:
        return default
    if not re.fullmatch(r"-?[0-9]{1,20}", text, re.ASCII) or not least <= int(text) <= _FARTHEST:
        raise Problem(Kind.MALFORMED, f"{name} must be a whole number from {least} on.", pointer=f"/{name}")
    return int(text)


def snake(name: str) -> str:
    """Return a JSON member's name as its struct spells it."""
    return re.sub(r"([A-Z])", lambda match: "_" + match[1].lower(), name)


def camel(name: str) -> str:
    """Return a struct field's name as JSON spells it."""
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def text(name: str) -> Reading:
    """A filter on a text field."""
    return lambda value, _: Where(name, Op.LIKE, Pattern.read(value))


def domain(name: str) -> Reading:
    """A filter on a domain name, which may be given with its own letters instead of A-labels."""

    def read(value: str, _: Ids) -> Where:
        found = Pattern.read(value)
        return Where(name, Op.LIKE, found if found.open_end else replace(found, text=_in_ascii(found.text)))

    return read


def _in_ascii(name: str) -> str:
    """Return a domain name, or the end of one, in A-labels; what names no domain is compared as it stands."""
    if not name.isascii():
        with suppress(BadAddress):
            return domain_name(name)
    return name


def address(name: str) -> Reading:
    """A filter on mail addresses, or domains, that are kept as `Address.key`; it may be given in any spelling of it."""

    def read(value: str, _: Ids) -> Where:
        found = Pattern.read(value)
        return Where(name, Op.LIKE, _as_kept(found))

    return read


def _as_kept(found: Pattern) -> Pattern:
    composed = replace(found, text=normalize("NFC", found.text))
    if not (found.open_start or found.open_end):
        with suppress(BadAddress):
            return replace(composed, text=parse_address(composed.text).key)
    return as_sent(composed)


def sent(name: str) -> Reading:
    """A filter on mail addresses that are kept as they are sent; the domain may be given in its own letters."""
    return lambda value, _: Where(name, Op.LIKE, as_sent(Pattern.read(value)))


def as_sent(found: Pattern) -> Pattern:
    """Return what is looked for, an address or the end of one, with its domain in A-labels."""
    local, at, host = found.text.rpartition("@")
    return found if found.open_end else replace(found, text=f"{local}{at}{_in_ascii(host)}")


def ident(name: str) -> Reading:
    """A filter on an id; one that this installation never showed matches nothing."""
    return lambda value, ids: Where(name, Op.EQ, int(ids.read(value)))


def word(name: str, kind: type[Enum]) -> Reading:
    """A filter on one of a few words, in any case."""

    def read(value: str, _: Ids) -> Where:
        found = Pattern.read(value)
        if found.open_start or found.open_end:
            return Where(name, Op.LIKE, found)
        spelling = value.upper().replace("-", "_")
        if spelling not in kind.__members__:
            raise Problem(
                Kind.MALFORMED, f"The filter must be one of {', '.join(kind.__members__)}.", pointer=f"/{camel(name)}"
            )
        return Where(name, Op.EQ, spelling)

    return read
