"""Reads what comes back of a mail: delivery reports (RFC 3464) and complaints (RFC 5965), by their parts.

Lenient, as reports are: what can't be read is left out, and nothing raises.
"""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import islice

import msgspec

from gatepost.message.anatomy import Anatomy, Part
from gatepost.message.edit import ID_FIELDS
from gatepost.message.plain import plain

FATES_MAX = 100
REASON_MAX = 300

_ID = re.compile(r"[0-9a-f]{32}\Z")
_FIELD = re.compile(r"^([A-Za-z][A-Za-z-]*):(.*(?:\n[ \t].*)*)$", re.MULTILINE)
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\Z")
_SAID = re.compile(r"[245]\d\d[ -](([245])\.\d{1,3}\.\d{1,3})\b")


class Sort(StrEnum):
    REPORT = "report"
    COMPLAINT = "complaint"


class Fate(msgspec.Struct, frozen=True):
    """What became of one recipient: `action` and `status` as in RFC 3464 2.3, lower case; texts fit to be shown.

    `original` is the address that the sender wrote to, where the report tells it: that of who has his mail sent on. It
    stands as it is told: some servers leave it in xtext (RFC 3461 4), others undo that.
    """

    recipient: str
    action: str
    status: str = ""
    reason: str = ""
    original: str = ""


class Returned(msgspec.Struct, frozen=True):
    """What came back of the mail `mail_id` (the value of its X-Gatepost-Id)."""

    sort: Sort
    mail_id: str
    fates: tuple[Fate, ...]


def read_return(anatomy: Anatomy) -> Returned | None:
    """Return what a report says of a mail of ours; None for every other mail."""
    report = "multipart/report" in anatomy.parts[0].types
    if not report and "multipart/mixed" not in anatomy.parts[0].types:  # OpenSMTPD calls its delivery reports so
        return None
    mail_id = next(_ids(anatomy.parts), None)
    if mail_id is None:
        return None
    for part in anatomy.parts:
        if not {"message/delivery-status", "message/global-delivery-status"}.isdisjoint(part.types):
            return Returned(Sort.REPORT, mail_id, tuple(_fates(part.head)))
        if report and "message/feedback-report" in part.types:
            return Returned(Sort.COMPLAINT, mail_id, tuple(_complaint(part.head)))
    return None


def _ids(parts: Sequence[Part]) -> Iterator[str]:
    """The ids that returned headers name: those of a mail inside, or of a part that holds headers alone."""
    for part in parts[1:]:
        fields = [(_text(each.name), _text(each.value)) for each in part.headers]
        if "text/rfc822-headers" in part.types:
            fields += _pairs(part.text)
        for name, value in fields:
            if name.lower() == ID_FIELDS[0].lower() and _ID.match(value.strip()):
                yield value.strip()


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _pairs(text: bytes) -> list[tuple[str, str]]:
    """The fields of a header or a block, unfolded."""
    found = _FIELD.findall(_text(text).replace("\r\n", "\n"))
    return [(name, " ".join(value.split())) for name, value in found]


def _blocks(text: bytes) -> Iterator[dict[str, str]]:
    """The fields of each block, names in lower case; the first is about the whole mail (RFC 3464 2.1)."""
    for block in re.split(rb"\r?\n(?:\r?\n)+", text):
        yield {name.lower(): plain(value, REASON_MAX) for name, value in _pairs(block)}


def _fates(text: bytes) -> Iterator[Fate]:
    for fields in islice(_blocks(text), FATES_MAX + 1):
        original = _address(fields.get("original-recipient", ""))
        recipient = _address(fields.get("final-recipient", "")) or original
        if recipient:
            yield Fate(
                recipient=recipient,
                action=fields.get("action", "").partition("(")[0].strip().lower(),
                status=_status(fields),
                reason=_diagnostic(fields),
                original=original,
            )


def _status(fields: dict[str, str]) -> str:
    """What a report gives for status, or what the server said of which it tells: Exim calls each failure 5.0.0."""
    status = fields.get("status", "").partition(" ")[0]
    if not _STATUS.match(status):
        return ""
    said = _SAID.match(_diagnostic(fields))
    return said[1] if said and status == f"{said[2]}.0.0" else status


def _diagnostic(fields: dict[str, str]) -> str:
    return fields.get("diagnostic-code", "").partition(";")[2].strip()


def _complaint(text: bytes) -> Iterator[Fate]:
    """A complaint is about whom it names; "" stands for the mail's only recipient."""
    fields = {name: value for block in islice(_blocks(text), FATES_MAX) for name, value in block.items()}
    kind = fields.get("feedback-type", "").lower()
    if kind in ("abuse", "fraud", "virus", "other"):
        recipient = fields.get("original-rcpt-to", "").strip("<> ")
        yield Fate(recipient=recipient, action=kind, reason=f"complaint ({kind})")


def _address(field: str) -> str:
    """The address of `rfc822; zoe@far.example`."""
    kind, _, address = field.partition(";")
    return address.strip().strip("<>") if kind.strip().lower() in ("rfc822", "utf-8") else ""
