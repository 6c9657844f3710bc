"""The content of a kept mail: its header, its text, its source and its attachments, out of the stored bytes."""

import asyncio
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import msgspec
from zipstream import ZIP_DEFLATED, ZipStream  # type: ignore[import-untyped]

from gatepost.message import decode, headers
from gatepost.message.anatomy import Anatomy, Header, Part
from gatepost.message.edit import CONNECTOR, disconnected, head_end, unblinded
from gatepost.message.filename import safe_name
from gatepost.message.mail import Opener
from gatepost.message.reading import said
from gatepost.model.envelope import Body
from gatepost.model.problem import Kind, Problem
from gatepost.settings import Limits
from gatepost.store.store import Store

_BLIND = ("bcc", "resent-bcc")
_CONNECTOR = CONNECTOR.decode()
OWN_HEADER = 4_000_000  # octets of the header of a draft: a request of a million, coded
SOURCE_MAX = 10_000_000  # octets of a mail whose source is shown as one text


class Attachment(msgspec.Struct, frozen=True):
    """A part that clients list as an attachment. `number` finds it again; `name` is safe as a file name."""

    number: int
    name: str
    type: str
    size: int


class File(msgspec.Struct, frozen=True):
    """An attachment with its octets."""

    name: str
    type: str
    data: bytes


class Contents:
    """Opens kept mails. It asks for no permission: who comes here has been let in."""

    def __init__(self, store: Store, opener: Opener, limits: Limits) -> None:
        self._store = store
        self._opener = opener
        self._limits = limits

    async def headers(self, mail_id: str, *, blind: bool = True) -> dict[str, str | list[str]]:
        """Return the header's fields, decoded, with its `blind` copies or without; a name that stands there several
        times has a list."""
        fields: dict[str, str | list[str]] = {}
        for field in await self._fields(mail_id, self._limits.header_bytes):
            name, value = field.name.decode("ascii", "replace"), headers.readable(field.value)
            if name.lower() == _CONNECTOR or (not blind and name.lower() in _BLIND):
                continue
            before = fields.get(name)
            if before is None:
                fields[name] = value
            else:
                fields[name] = [*(before if isinstance(before, list) else [before]), value]
        return fields

    async def own_fields(self, mail_id: str, names: Collection[str]) -> dict[str, str]:
        """Return fields of a mail that was composed here, decoded to the last sign, as machines want it.

        They are found behind a thousand recipients, too, whose names fill more than is looked into otherwise.
        """
        wanted = {name.encode(): name for name in names}
        fields = await self._fields(mail_id, OWN_HEADER)
        return {wanted[each.name]: headers.whole(each.value) for each in fields if each.name in wanted}

    async def _fields(self, mail_id: str, most: int) -> tuple[Header, ...]:
        head = await _octets(await self._body(mail_id), most)
        return headers.split(head, 0, len(head), most, self._limits.headers).fields

    async def text(self, mail_id: str) -> str:
        """Return what the mail says, as plain text: its text parts, or the text of its HTML."""
        return await asyncio.to_thread(said, await self._opener.opened(await self._body(mail_id)))

    async def source(self, mail_id: str, *, blind: bool = True) -> str:
        """Return the mail as it came, with its `blind` copies or without; octets that are no UTF-8 are read as Latin-1,
        one character each."""
        body = await self._body(mail_id)
        if body.size > SOURCE_MAX:
            raise Problem(Kind.UNPROCESSABLE, f"A source of more than {SOURCE_MAX} octets is not shown.")
        raw = disconnected(await _octets(body))
        if not blind:
            end = head_end(raw)
            raw = unblinded(raw[:end]) + raw[end:] if end >= 0 else unblinded(raw)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return raw.decode("latin-1")

    async def attachments(self, mail_id: str) -> list[Attachment]:
        """Return the attachments in their order."""
        body = await self._body(mail_id)
        parts = _attached(await self._opener.opened(body))
        return await asyncio.to_thread(lambda: [_attachment(body, part) for part in parts])

    async def attachment(self, mail_id: str, number: int) -> File:
        """Return one attachment; raise NOT_FOUND where the mail has none of that number."""
        body = await self._body(mail_id)
        parts = {part.index: part for part in _attached(await self._opener.opened(body))}
        if number not in parts:
            raise Problem(Kind.NOT_FOUND, "There is no such attachment.")
        return await asyncio.to_thread(_file, body, parts[number])

    async def archive(self, mail_id: str) -> Iterator[bytes]:
        """Return all attachments as one ZIP file, piece by piece; names that occur twice are numbered.

        One attachment at a time is in memory. The pieces are made while they are asked for: ask beside the loop.
        """
        body = await self._body(mail_id)
        parts = _attached(await self._opener.opened(body))
        if not parts:
            raise Problem(Kind.NOT_FOUND, "The mail has no attachments.")
        return _zipped(body, parts)

    async def _body(self, mail_id: str) -> Body:
        body = await self._store.read(lambda reader: reader.body(mail_id))
        if body is None:
            raise Problem(Kind.NOT_FOUND, "The mail is no longer kept.")
        return body


async def _octets(body: Body, most: int = -1) -> bytes:
    """The mail's octets, or the first so many; a spooled mail is read beside the loop."""
    if body.path is None:
        return _read(body, 0, most)
    return await asyncio.to_thread(_read, body, 0, most)


def _read(body: Body, start: int, most: int) -> bytes:
    """So many octets of a mail from a place on, all that follow where `most` is negative."""
    if body.path is None:
        return (body.data or b"")[start : None if most < 0 else start + most]
    try:
        with Path(body.path).open("rb") as file:
            file.seek(start)
            return file.read(most)
    except FileNotFoundError as error:
        raise Problem(Kind.NOT_FOUND, "The mail is no longer kept.") from error


def _attached(anatomy: Anatomy) -> list[Part]:
    """The attachments whose octets stand in the mail itself, not inside other decoded content."""
    return [part for part in anatomy.parts if part.attachment and 0 <= part.start <= part.end]


def _attachment(body: Body, part: Part) -> Attachment:
    """Blocking where it is an attached mail, of which no size is known."""
    size = len(_file(body, part).data) if part.container else part.size
    return Attachment(part.index, _name(part), part.types[0], size)


def _file(body: Body, part: Part) -> File:
    """Blocking: reads a spooled mail's file, though no more of it than the part."""
    content = _read(body, part.start, part.end - part.start)
    decoded = decode.transfer(content, part.encoding)[0].data
    taken = decoded if not part.container or headers.begins(decoded) else content  # as the mail was taken apart
    return File(_name(part), part.types[0], taken)


def _name(part: Part) -> str:
    """A file name without paths, controls and reserved words, of bounded length; never empty (threat 120)."""
    return safe_name(part.shown, f"part-{part.index}")


def _zipped(body: Body, parts: list[Part]) -> Iterator[bytes]:
    archive = ZipStream(compress_type=ZIP_DEFLATED)
    for name, part in zip(_distinct(map(_name, parts)), parts, strict=True):
        archive.add(_late(body, part), name)
    yield from archive


def _late(body: Body, part: Part) -> Iterator[bytes]:
    """The octets of an attachment, read when its turn comes."""
    yield _file(body, part).data


def _distinct(names: Iterable[str]) -> Iterator[str]:
    seen: dict[str, int] = {}  # the number from which on each name may be free
    for name in names:
        fresh, number = name, seen.get(name.casefold(), 1)
        while fresh.casefold() in seen:
            number += 1
            stem, dot, end = name.rpartition(".")
            fresh = f"{stem} ({number}){dot}{end}" if dot and stem else f"{name} ({number})"
        seen[name.casefold()] = number
        seen.setdefault(fresh.casefold(), 1)
        yield fresh
