"""winmail.dat ([MS-OXTNEF]): the files that Outlook or Exchange packs into it, and the text that is shown from it.

What can't be read is told: a property of an unknown make could hide the name behind it by which Outlook saves a file.
"""

from collections.abc import Generator, Iterator
from itertools import islice

import msgspec

from gatepost.message import decode, lzfu, office
from gatepost.message.meter import Damaged, Entry, Meter, Stop
from gatepost.message.names import NAMES_MAX

_ATTRIBUTES = 5000  # of a message
_MESSAGES = 50  # within messages
_HEAD = 6
_BODY, _CODEPAGE, _PROPERTIES = 0x800C, 0x9007, 0x9003  # attributes of the message (2.1.3.1)
_NEXT, _TITLE, _DATA, _FILE_NAME, _MORE = 0x9002, 0x8010, 0x800F, 0x9001, 0x9005  # and of an attachment
_OF_ATTACHMENTS = frozenset({_NEXT, _TITLE, _DATA, _FILE_NAME, _MORE})
_OLE = 2  # the kind of an attachment that is an object of OLE 1.0 (2.1.3.4.1)
_LABEL = 0x3001  # PidTagDisplayName, by which Outlook goes where there is no other name
_NAMES = (0x3707, 0x3704, 0x370C, _LABEL)  # PidTagAttachLongFilename, PidTagAttachFilename, PidTagAttachTransportName
_CONTENT, _TEXT, _HTML, _RTF = 0x3701, 0x1000, 0x1013, 0x1009  # PidTagAttachData..., PidTagBody, ...Html, RtfCompressed
_MESSAGE = bytes.fromhex("0703020000000000c000000000000046")  # IID_IMessage, before a message that is attached
_MULTIPLE, _NAMED = 0x1000, 0x8000
_STRING, _UNICODE, _BINARY, _OBJECT = 0x1E, 0x1F, 0x102, 0x0D
_VARIABLE = frozenset({_STRING, _UNICODE, _BINARY, _OBJECT})
_SIZES = {2: 2, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 0x0A: 4, 0x0B: 2, 0x14: 8, 0x40: 8, 0x48: 16}
_KINDS = _VARIABLE | _SIZES.keys()
_PAD = 4
_DAMAGED = "is a damaged winmail.dat"


class _Attachment(msgspec.Struct):
    """What was read of one attachment so far: its names, what is shown where it has none, its octets, or a message's.

    `ole`: its octets are an object of OLE 1.0.
    """

    names: list[str] = []
    labels: list[str] = []
    contents: list[bytes] = []
    messages: list[bytes] = []
    ole: bool = False
    problem: str = ""


class _Property(msgspec.Struct, frozen=True):
    """A property of a message or an attachment: its number, its type, its value."""

    name: int
    kind: int
    value: bytes


def read(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    """Yield the attachments of a message, and of those that are attached to it, and the texts of all."""
    messages, problem = [content], ""
    for message in islice(messages, _MESSAGES):  # which grow meanwhile
        try:
            yield from _message(message, messages, meter)
        except Damaged as error:  # the others are wanted even so
            problem = str(error)
    if problem or len(messages) > _MESSAGES:
        raise Damaged(problem or "holds more messages than are looked into")


def _message(content: bytes, messages: list[bytes], meter: Meter) -> Iterator[Entry]:
    """Yield what a message holds, and append those that are attached to it to `messages`."""
    codepage, problem = "", ""
    attachments: list[_Attachment] = []
    texts: list[bytes] = []
    try:
        for kind, data in _attributes(content):
            if kind == _CODEPAGE:
                codepage = f"cp{int.from_bytes(data[:4], 'little')}"
            elif kind == _BODY:
                yield _page(data, meter)
            elif kind == _PROPERTIES:
                texts.append(data)
            elif kind in _OF_ATTACHMENTS:
                if kind == _NEXT or not attachments:
                    attachments.append(_Attachment())
                _note(attachments[-1], kind, data, codepage)
    except Damaged as error:
        problem = str(error)
    for attached in attachments:
        yield from _entries(attached, meter)
        for message in dict.fromkeys(attached.messages):
            meter.take(len(message))
            messages.append(message)
    for data in texts:
        yield from _texts(data, meter)
    if problem:
        raise Damaged(problem)


def _attributes(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and value of each attribute; raise Damaged behind the last that is whole."""
    at = _HEAD
    for _ in range(_ATTRIBUTES):
        if at == len(content):
            return
        start, size = at + 9, int.from_bytes(content[at + 5 : at + 9], "little")
        at = start + size + 2
        if at > len(content):
            break
        yield int.from_bytes(content[start - 8 : start - 6], "little"), content[start : start + size]
    if at != len(content):
        raise Damaged(_DAMAGED)


def _note(attached: _Attachment, kind: int, data: bytes, codepage: str) -> None:
    """Note what an attribute says of an attachment."""
    if kind == _NEXT:
        attached.ole = int.from_bytes(data[:2], "little") == _OLE
    elif kind == _DATA:
        attached.contents.append(data)
    elif kind == _MORE:
        _note_properties(attached, data, codepage)
    else:
        attached.names += _readings(data, codepage)


def _note_properties(attached: _Attachment, data: bytes, codepage: str) -> None:
    named: dict[int, list[str]] = {}
    room = NAMES_MAX - len(attached.names) - len(attached.labels)
    try:
        for each in _properties(data):
            if each.name in _NAMES:
                readings = [_unicode(each.value)] if each.kind == _UNICODE else _readings(each.value, codepage)
                room -= len(readings)
                if room < 0:
                    raise Damaged("has more names than are looked at")
                named.setdefault(each.name, []).extend(readings)
            elif each.name == _CONTENT and each.kind == _OBJECT and each.value.startswith(_MESSAGE):
                attached.messages.append(each.value[len(_MESSAGE) :])
            elif each.name == _CONTENT:  # before an object stands by which interface it is read
                attached.contents.append(each.value[len(_MESSAGE) :] if each.kind == _OBJECT else each.value)
    except Damaged as error:
        attached.problem = str(error)
    attached.names[:0] = [name for number in _NAMES if number != _LABEL for name in named.get(number, ())]
    attached.labels += named.get(_LABEL, [])


def _entries(attached: _Attachment, meter: Meter) -> Iterator[Entry]:
    names = tuple(dict.fromkeys(filter(None, attached.names or attached.labels))) or ("unnamed",)
    for data in dict.fromkeys(attached.contents if attached.contents or attached.messages else [b""]):
        try:
            meter.take(len(data))
        except Stop as stop:
            yield Entry(names=names, size=len(data), problem=str(stop))
            continue
        yield Entry(names=names, size=len(data), content=data, problem=attached.problem)
        if attached.ole and (inner := office.embedded(data)) is not None:
            yield Entry(names=inner[0], size=len(inner[1]), content=inner[1])


# --- properties (2.1.3.4) --------------------------------------------------------------------------------------------


def _properties(data: bytes) -> Iterator[_Property]:
    """Yield the properties of variable size in a list, some twice; raise Damaged where one can't be read.

    Of several short values some readers pad each, some all together. What either finds may be what Outlook does.
    """
    problem, short = yield from _walked(data, apart=False)
    if short:
        other, _ = yield from _walked(data, apart=True)
        problem = problem and other
    if problem:
        raise Damaged(problem)


def _walked(data: bytes, *, apart: bool) -> Generator[_Property, None, tuple[str, bool]]:
    """Yield the properties of a list; return what ended it early, and whether it holds several short values."""
    at, short = 4, False
    for _ in range(int.from_bytes(data[:4], "little")):
        kind, name = (int.from_bytes(data[at + place : at + place + 2], "little") for place in (0, 2))
        at += 4
        if name & _NAMED:
            at = _behind_name(data, at)
        count, single = 1, kind & ~_MULTIPLE
        if single not in _KINDS or (single == _OBJECT and kind & _MULTIPLE):
            return f"has a property of an unknown type ({kind:#06x})", short
        if kind & _MULTIPLE or single in _VARIABLE:
            count, at = int.from_bytes(data[at : at + 4], "little"), at + 4
        if single not in _VARIABLE:
            size = _SIZES[single]
            short |= size < _PAD and count > 1
            at += count * _padded(size) if apart else _padded(count * size)
            count = 0
        for _ in range(count):
            size = int.from_bytes(data[at : at + 4], "little")
            if at + 4 + size > len(data):
                return _DAMAGED, short
            yield _Property(name, single, data[at + 4 : at + 4 + size])
            at += 4 + _padded(size)
        if at > len(data):
            return _DAMAGED, short
    return "", short


def _behind_name(data: bytes, at: int) -> int:
    """Return where a property goes on behind its name in a set: a number, or a text."""
    size = int.from_bytes(data[at + 20 : at + 24], "little")
    return at + 24 + (_padded(size) if int.from_bytes(data[at + 16 : at + 20], "little") else 0)


def _padded(size: int) -> int:
    return size + -size % _PAD


# --- texts -----------------------------------------------------------------------------------------------------------


def _texts(data: bytes, meter: Meter) -> Iterator[Entry]:
    for each in _properties(data):
        if each.name == _RTF:
            yield _page(lzfu.unpacked(each.value), meter)
        elif each.name in (_TEXT, _HTML):
            yield _page(_unicode(each.value).encode() if each.kind == _UNICODE else each.value, meter)


def _page(data: bytes, meter: Meter) -> Entry:
    meter.take(len(data))
    return Entry(names=(), size=len(data), content=data, page=True)


def _readings(raw: bytes, codepage: str) -> list[str]:
    """Return a text as its code page has it, and as it may be meant."""
    raw = raw.partition(b"\0")[0]
    return [decode.text(raw, codepage), decode.guessed(raw)]


def _unicode(raw: bytes) -> str:
    return raw.decode("utf-16-le", "replace").rstrip("\0")
