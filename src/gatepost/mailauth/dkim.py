"""Verifies the DKIM signatures of a mail (RFC 6376, RFC 8301, RFC 8463); keys are asked for before."""

from functools import cached_property

import dkim  # type: ignore[import-untyped]  # it has no types
from dkim.util import InvalidTagValueList, parse_tag_value  # type: ignore[import-untyped]  # likewise

from gatepost.mailauth.header import Field
from gatepost.mailauth.keys import Record
from gatepost.mailauth.verify import Checker, Fault, Signed, signed_length
from gatepost.model.address import BadAddress, domain_name
from gatepost.model.auth import Result, Signature

SIGNATURES = 10
"""Signatures of one mail that are looked at, from the top (threat 68)."""

FIELD = b"dkim-signature"
_SQUEEZED = (b"b", b"bh", b"h", b"d", b"s", b"i", b"a", b"c", b"q")  # where white space means nothing
_NAMES = (b"d", b"s", b"i")
_QUERY = b"dns/txt"  # the way to ask for a key; others that a signature may name are ignored (RFC 6376 3.5)

Tags = dict[bytes, bytes]


class Message(Signed, dkim.DKIM):  # type: ignore[misc]  # dkimpy has no types
    """A mail's header as dkimpy reads it."""

    @cached_property
    def signatures(self) -> list[tuple[Field, Tags | None]]:
        """The fields of signatures, from the top, with their tags; None where a field is no list of tags."""
        found = [field for field in self.headers if field[0].lower().rstrip() == FIELD]
        return [(field, _tags(field[1])) for field in found[:SIGNATURES]]


def read(head: bytes) -> Message | None:
    """Read a header section; None where it has a line that is no field, over which nobody can sign."""
    try:
        return Message(head)
    except (dkim.MessageFormatError, IndexError):
        return None


def tags(message: Message) -> list[Tags]:
    """Return the tags of the signatures that can be read."""
    return [found for _, found in message.signatures if found]


def verify(message: Message, checker: Checker, now: int) -> tuple[Signature, ...]:
    """Return what each signature is worth, from the top; `now` in epoch seconds (blocking where the body is a file)."""
    return tuple(_verify(message, checker, field, tags, now) for field, tags in message.signatures)


def unsure(message: Message, reason: str) -> tuple[Signature, ...]:
    """Return the signatures as of which nothing can be said now."""
    return tuple(
        Signature(result=Result.TEMPERROR, domain=_text(each, b"d").lower(), selector=_text(each, b"s"), reason=reason)
        for each in tags(message)
    )


def _tags(value: bytes) -> Tags | None:
    try:
        tags: Tags = parse_tag_value(value)
    except InvalidTagValueList:
        return None
    squeezed = {name: b"".join(text.split()) if name in _SQUEEZED else text for name, text in tags.items()}
    if value.isascii():
        return squeezed
    return squeezed | {name: _ascii(squeezed[name]) for name in _NAMES if name in squeezed}


def _ascii(text: bytes) -> bytes:
    """Return a name, or an address, with A-labels in the place of U-labels (RFC 8616 5); what is none stays."""
    if text.isascii():
        return text
    local, at, name = text.rpartition(b"@")
    try:
        return local + at + domain_name(name.decode()).encode()
    except (BadAddress, UnicodeDecodeError):
        return text


def _verify(message: Message, checker: Checker, field: Field, tags: Tags | None, now: int) -> Signature:
    if tags is None:
        return Signature(result=Result.PERMERROR, reason="the field is no list of tags")
    found: Record | None = None
    try:
        found = checker.key(_valid(tags, now))
        result, reason = _judge(message, checker, tags, field, found)
    except Fault as fault:
        result, reason = fault.result, fault.reason
    if found is not None and found.testing and result in (Result.PASS, Result.FAIL):
        result, reason = Result.NEUTRAL, "the key is for testing"  # as if unsigned (RFC 6376 3.6.1)
    return Signature(
        result=result,
        domain=_text(tags, b"d").lower(),
        selector=_text(tags, b"s"),
        algorithm=_text(tags, b"a"),
        bits=found.bits if found else 0,
        start=_text(tags, b"b")[:8],
        reason=reason,
    )


def _valid(tags: Tags, now: int) -> Tags:
    """Check the tags by themselves; raise Fault."""
    if not {b"v", b"a", b"b", b"bh", b"d", b"h", b"s"} <= tags.keys():
        raise Fault(Result.PERMERROR, "a tag is missing")
    if b"from" not in _signed(tags):
        raise Fault(Result.PERMERROR, "From is not signed")
    expires = tags.get(b"x", b"")
    if expires.isdigit() and len(expires) < 13 and int(expires) < now:
        raise Fault(Result.FAIL, "the signature has expired")
    if not (tags[b"d"] + tags[b"s"]).isascii() or not tags[b"d"]:
        raise Fault(Result.PERMERROR, "d= or s= is no name")
    if _QUERY not in tags.get(b"q", _QUERY).split(b":"):
        raise Fault(Result.PERMERROR, "q= does not name dns/txt")
    signed_length(tags)
    try:
        dkim.validate_signature_fields({**tags, b"q": _QUERY})
    except (ValueError, IndexError) as error:  # numbers of thousands of digits; i= that is d= itself
        raise Fault(Result.PERMERROR, "i=, t= or x= can't be read") from error
    except dkim.ValidationError as error:
        raise Fault(Result.PERMERROR, str(error).partition(" (")[0]) from error  # without the value as Python writes it
    return tags


def _signed(tags: Tags) -> list[bytes]:
    return tags[b"h"].lower().split(b":")


def _judge(message: Message, checker: Checker, tags: Tags, field: Field, found: Record) -> tuple[Result, str]:
    if found.strict and _identity(tags) != tags[b"d"].lower():
        raise Fault(Result.PERMERROR, "the key does not speak for subdomains (t=s)")
    checker.check(message, tags, _signed(tags), field)
    tail = checker.tail(tags)
    if tail:
        return Result.NEUTRAL, f"the last {tail} octets of the body are not signed (l=)"
    return Result.PASS, ""


def _identity(tags: Tags) -> bytes:
    return tags.get(b"i", tags[b"d"]).rpartition(b"@")[2].lower()


def _text(tags: Tags, name: bytes) -> str:
    return tags.get(name, b"").decode("ascii", "replace")[:255]
