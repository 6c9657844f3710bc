"""What the services share: texts that are fit to keep, partial changes, rows made into what callers see."""

from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import UNSET, Meta

from gatepost.model.address import Address, BadAddress, domain_name, parse_address
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Condition, Op, Query, Where
from gatepost.model.values import CLEARED, UNKNOWN, Id, Millis

V = TypeVar("V", bound=msgspec.Struct)
S = TypeVar("S", bound=msgspec.Struct)

# One line without control characters; the end is said in a way that Python and JSON Schema both understand.
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
LINE = rf"^[^{_CONTROL}]*$(?!\n)"
NAME = rf"^[^{_CONTROL}]*[^{_CONTROL}\s][^{_CONTROL}]*$(?!\n)"  # more than blanks
LINES = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$(?!\n)"

Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=NAME)]
Line = Annotated[str, Meta(max_length=255, pattern=LINE)]
Text = Annotated[str, Meta(max_length=4000, pattern=LINES)]
Port = Annotated[int, Meta(ge=1, le=65535)]


def show(kind: type[V], row: object, **more: object) -> V:
    """Make what callers see of a row: the members of `kind` by their names, those in `more` as given."""
    members: dict[str, Any] = {}
    for name, cast in _members(kind):
        value = more[name] if name in more else getattr(row, name)
        members[name] = value if cast is None or value is None else cast(value)
    return kind(**members)


@cache
def _members(kind: type) -> list[tuple[str, type | None]]:
    """Return a view's members, with the type that makes an id or a moment of a number."""
    hints = get_type_hints(kind)
    casts = ((name, {hints[name], *get_args(hints[name])}) for name in kind.__struct_fields__)  # type: ignore[attr-defined]
    return [(name, Id if Id in types else Millis if Millis in types else None) for name, types in casts]


def given(change: msgspec.Struct, *names: str) -> dict[str, Any]:
    """Return the members of a partial change that were given; null means absent (contract A13)."""
    values = {name: getattr(change, name) for name in names or change.__struct_fields__}
    return {name: value for name, value in values.items() if value is not None and value is not UNSET}


def merged(base: S, part: msgspec.Struct | None) -> S:
    """Lay a partial change of the same member names over a struct."""
    return base if part is None else msgspec.structs.replace(base, **given(part))


def emptied(text: str | None) -> str | None:
    """Return a nullable text as it is stored: the empty one clears it (semantics 3)."""
    return text or None


def read_domain(text: str, pointer: str) -> str:
    """Return a domain name in its one form; raise MALFORMED."""
    try:
        name = domain_name(text)
    except BadAddress as error:
        raise Problem(Kind.MALFORMED, f"This is not a domain name: {error}.", pointer=pointer) from error
    if "." not in name:
        raise Problem(Kind.MALFORMED, "A domain name has at least two labels.", pointer=pointer)
    return name


def read_address(text: str, pointer: str) -> Address:
    """Return a mailbox address; raise MALFORMED."""
    try:
        address = parse_address(text)
    except BadAddress as error:
        raise Problem(Kind.MALFORMED, f"This is not a mail address: {error}.", pointer=pointer) from error
    if address.literal:
        raise Problem(Kind.MALFORMED, "This is not a mail address: its domain is an address literal.", pointer=pointer)
    return address


def behind(query: Query, last: int | None, pointer: str) -> Condition:
    """What of a list stands behind an id, in the order asked for; raise MALFORMED where there is no such place."""
    if last is None or last == CLEARED:
        return All(())
    if last == UNKNOWN:
        raise Problem(Kind.MALFORMED, "A list goes on behind an id that it showed.", pointer=pointer)
    if query.sort not in ("id", "-id"):
        raise Problem(Kind.MALFORMED, "Behind an id a list goes on by id alone.", pointer=pointer)
    return Where("id", Op.LT if query.sort == "-id" else Op.GT, last)


def unprocessable(detail: str, pointer: str) -> Problem:
    return Problem(Kind.UNPROCESSABLE, detail, pointer=pointer)
