"""An entity that is still to be read, and what the fields of its header say about it, all of them together."""

import re
from functools import lru_cache

import msgspec

from gatepost.message import decode, headers, names
from gatepost.message.anatomy import Header

MESSAGES = frozenset({"message/rfc822", "message/global", "message/news", "message/partial", "message/external-body"})
_TYPE = re.compile(rb"\s*([^\s;/\"()<>\x80-\xff]+)\s*/\s*([^\s;\"()<>]+)")
_LOOSE_TYPE = re.compile(rb"([-!#-'*+.0-9A-Za-z^_`{|}~]+)\s*/\s*([-!#-'*+.0-9A-Za-z^_`{|}~]+)")
_BLANKS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


class Entity(msgspec.Struct):
    """A header and a body. `outer`: offsets count in the mail itself, not in something decoded.

    `file` stands for a header: the (name, encoding) of content that was found inside another part.
    """

    data: bytes
    start: int
    end: int
    parent: int
    depth: int
    hidden: bool = False
    outer: bool = True
    default: str = "text/plain"
    file: tuple[bytes, str] | None = None
    cut_header: bool = False  # read the header as ending at its first line that is no field


class Face(msgspec.Struct, frozen=True):
    """What the fields say. `types` are all declared ones, or the default; `type_fields` their raw values."""

    fields: tuple[Header, ...] = ()
    types: tuple[str, ...] = ("text/plain",)
    type_fields: tuple[bytes, ...] = ()
    encodings: tuple[str, ...] = ("",)
    named: names.Named = names.Named()
    disposition: str = ""
    content_id: str = ""
    doubled: bool = False
    media: str = "text/plain"  # the type of the content itself; a container without parts is a text

    @property
    def multipart(self) -> bool:
        return any(media.startswith("multipart/") for media in self.types)

    @property
    def message(self) -> bool:
        return not MESSAGES.isdisjoint(self.types)


def holds_parts(media: str) -> bool:
    return media.startswith("multipart/") or media in MESSAGES


def face(fields: tuple[Header, ...], default: str) -> Face:
    """Read the Content- fields of a header."""
    types: list[bytes] = []
    dispositions: list[bytes] = []
    encodings: list[bytes] = []
    content_id = b""
    for field in fields:
        if field.name[:1] not in b"Cc" or field.name[:8].lower() != b"content-":
            continue
        name = field.name[8:].lower()
        if name == b"type":
            types.append(field.value)
        elif name == b"disposition":
            dispositions.append(field.value)
        elif name == b"transfer-encoding":
            encodings.append(field.value)
        elif name == b"id":
            content_id = field.value
    declared = tuple(dict.fromkeys(media_type(value) or default for value in types)) or (default,)
    return Face(
        fields,
        declared,
        tuple(types),
        tuple(dict.fromkeys(one for value in encodings for one in decode.encodings(value))) or ("",),
        names.names(dispositions, types),
        disposition(dispositions[0]) if dispositions else "",
        headers.readable(content_id).strip("<>") if content_id else "",
        len(types) > 1 or len(dispositions) > 1 or len(encodings) > 1,
        next((media for media in declared if not holds_parts(media)), "text/plain"),
    )


def file_face(name: bytes, encoding: str) -> Face:
    """Return the face of a file that stood inside a text or a calendar."""
    named = names.normal([headers.words(decode.guessed(name))])
    octets = "application/octet-stream"
    return Face(types=(octets,), encodings=(encoding,), named=named, disposition="attachment", media=octets)


def media_type(value: bytes) -> str:
    """Return the media type in a Content-Type value, lower case; "" if there is none.

    Comments, quotes and blanks, however many, hide none; a multipart without a subtype is one.
    """
    return _media_type(value.lstrip()[:200] if b"(" not in value else headers.uncommented(value).lstrip()[:200])


@lru_cache(maxsize=1024)
def _media_type(value: bytes) -> str:
    match = _TYPE.match(value) or _LOOSE_TYPE.search(value)
    if match is None:
        return "multipart/mixed" if b"multipart" in value.lower() else ""
    return f"{match[1].decode('ascii', 'replace')}/{match[2].decode('ascii', 'replace')}".lower()


def disposition(value: bytes) -> str:
    """Return the disposition in a Content-Disposition value, lower case."""
    first = value.partition(b";")[0]
    return headers.uncommented(first).strip()[:100].decode("ascii", "replace").lower()


def fit(text: str) -> str:
    """Return a stranger's text fit for a sentence: one line, short, no marks that turn the direction."""
    return _BLANKS.sub(" ", text)[:80]
