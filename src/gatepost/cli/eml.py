"""Reads mails from files as they would come in: CRLF lines, and from their own fields who brought them from where."""

import mailbox
import os
import re
from collections.abc import Iterator
from email import message_from_bytes
from email.utils import parseaddr
from pathlib import Path
from typing import Any

import msgspec

from gatepost.cli.control import Control
from gatepost.cli.failure import Failure

LARGEST = 1 << 28  # octets of a file that is one mail: a device has no end
_ADDRESS = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f:.]+)\]")
_HELO = re.compile(r"\s*from\s+(\S+)")


class Journey(msgspec.Struct, frozen=True, kw_only=True):
    """For whom a mail is tried, and how it comes in; None: as the mail's own fields say."""

    recipient: str
    sender: str | None = None
    client_ip: str | None = None
    helo: str | None = None


def judged(control: Control, path: Path, journey: Journey) -> list[Any]:
    """Return the events that would befall the mail of a file; raise Failure."""
    mail = next(read_mails(path), b"")
    ask = {"recipient": journey.recipient, **_said(mail), **_given(journey)}
    answer = control.send("POST", "/messages/judge", mail, "message/rfc822", **ask)
    events: list[Any] = answer["events"]
    return events


def _given(journey: Journey) -> dict[str, str]:
    given = {"sender": journey.sender, "clientIp": journey.client_ip, "helo": journey.helo}
    return {name: value for name, value in given.items() if value is not None}


def _said(mail: bytes) -> dict[str, str]:
    """What the mail itself tells: Return-Path or From, and the newest Received."""
    fields = message_from_bytes(mail[: 1 << 20])
    sender = fields.get("Return-Path")
    received = str(fields.get("Received", ""))
    came = {"sender": parseaddr(str(fields.get("From", "") if sender is None else sender))[1]}
    if address := _ADDRESS.search(received):
        came["clientIp"] = address[1]
    if helo := _HELO.match(received):
        came["helo"] = helo[1]
    return came


def read_mails(file: Path) -> Iterator[bytes]:
    """Yield the mails of a file: of an mbox each, else the file; lines end as on the wire."""
    try:
        with file.open("rb") as opened:
            first = opened.read(5)
            if first == b"From ":
                box = mailbox.mbox(file, create=False)
                yield from (_wire(box.get_bytes(key)) for key in box.iterkeys())
                return
            mail = first + opened.read(LARGEST)
        if len(mail) > LARGEST:
            raise Failure(f"{file}: larger than any mail", os.EX_DATAERR)
        if mail:
            yield _wire(mail)
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}", os.EX_NOINPUT) from error


def _wire(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
