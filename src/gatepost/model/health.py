"""What a diagnostic finds: entries with their codes; the last result of each domain and platform (contract 5.11)."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class Code(StrEnum):
    """The result of one test, in the contract's words."""

    OK = "OK"
    ERROR = "ERROR"
    DKIM_MISSING = "ERROR_DKIM_MISSING_ENTRY"
    DKIM_MISMATCH = "ERROR_DKIM_INVALID_COUPLE"
    MX_MISSING = "ERROR_MX_MISSING_ENTRY"
    MX_INVALID = "ERROR_MX_INVALID_ENTRY"


class Entity(StrEnum):
    """What can be diagnosed."""

    DOMAIN = "DOMAIN"
    PLATFORM = "PLATFORM"


class Entry(msgspec.Struct, frozen=True):
    """One test: what was looked at (MX, DKIM, SMTP ...), its result, and what was seen, line by line."""

    type: str
    result: Code
    output: list[str] = []
    ref: int | None = None


class Checkup(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The last diagnostic of a domain or a platform. `performed_at` in epoch milliseconds."""

    id: int = 0
    entity: Entity
    entity_id: int
    domain_id: int  # whose it is, for scope
    performed_at: int
    failing: bool
    entries: list[Entry]


def passed(kind: str, *notes: str) -> Entry:
    """Return the entry of a test that found nothing wrong."""
    return Entry(kind, Code.OK, ["Passed", *notes])


def lookup(kind: str, name: str) -> str:
    """Return the line that begins what a look-up found, as the contract's examples have it."""
    return f"Lookup for {kind} entry in DNS for {name}"


def failed(kind: str, name: str, what: str, *publish: str) -> Entry:
    """Return the entry of a fault in what stands in DNS for a name; `publish` are the records that mend it."""
    return Entry(kind, Code.ERROR, [lookup(kind, name), f"Fail: {what}", *(f"Publish: {each}" for each in publish)])


def advised(kind: str, name: str, what: str, *publish: str) -> Entry:
    """Return the entry of what is no fault and could be better; `publish` are the records that better it."""
    return Entry(kind, Code.OK, [lookup(kind, name), f"Note: {what}", *(f"Publish: {each}" for each in publish)])


def failing(entries: Sequence[Entry]) -> bool:
    """Tell whether an entity is not well: a missing DKIM record is only a warning (contract A56)."""
    return any(entry.result not in (Code.OK, Code.DKIM_MISSING) for entry in entries)
