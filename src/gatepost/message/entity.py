"""An entity that is still to be read, and what the fields of its header say about it, all of them together."""

import re
from functools import lru_cache

import msgspec

from gatepost.message import decode, headers, names
from gatepost.message.anatomy import Header

MESSAGES = frozenset({"message/rfc822", "message/global", "message/news", "message/partial", "message/external-body"})
_TYPE = re.compile(rb"\s*([^\s;/\"()<>\x80-\xff]+)\s*/\s*([^\s;\"()<>]+)")
_LOOSE_TYPE = re.compile(rb"([-!#-'*+.0-9A-Za-z^_`{|}~]+)\s*/\s*([-!#-'*+.0-9A-Za-z^_`{|}~]+)")
_ASKED = frozenset({b"content-type", b"content-disposition", b"content-transfer-encoding", b"content-id"})
_USUAL = 200  # octets of such fields that other parts are likely to have too
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
    unlikely: bool = False  # it is a file or in one, not a mail: its header has no faults
    fields: tuple[Header, ...] = ()  # once they are read


class Face(msgspec.Struct, frozen=True):
    """What the fields say. `types` are all declared ones, or the default; `type_fields` their raw values."""

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
    told = [(field.name.lower(), field.value) for field in fields if field.name[:1] in b"Cc"]
    asked = [pair for pair in told if pair[0] in _ASKED]
    short = sum(len(value) for _, value in asked) <= _USUAL
    return _usual_face(default, *asked) if short else _face(default, *asked)


def _face(default: str, *asked: tuple[bytes, bytes]) -> Face:
    types = [value for name, value in asked if name == b"content-type"]
    dispositions = [value for name, value in asked if name == b"content-disposition"]
    encodings = [value for name, value in asked if name == b"content-transfer-encoding"]
    content_id = next((value for name, value in reversed(asked) if name == b"content-id"), b"")
    declared = tuple(dict.fromkeys(media_type(value) or default for value in types)) or (default,)
    return Face(
        declared,
        tuple(types),
        tuple(dict.fromkeys(one for value in encodings for one in decode.encodings(value))) or ("",),
        names.names(dispositions, types),
        disposition(dispositions[0]) if dispositions else "",
        headers.readable(content_id).strip("<>") if content_id else "",
        len(types) > 1 or len(dispositions) > 1 or len(encodings) > 1,
        next((media for media in declared if not holds_parts(media)), "text/plain"),
    )


_usual_face = lru_cache(maxsize=1024)(_face)


def file_face(name: bytes, encoding: str) -> Face:
    """Return the face of a file that stood inside a text or a calendar."""
    named = _inner_named(name)
    octets = "application/octet-stream"
    return Face(types=(octets,), encodings=(encoding,), named=named, disposition="attachment", media=octets)


def with_name(face: Face, name: bytes) -> Face:
    """Return a face with a further name, which stands in the content; it is shown where the header has none."""
    named, own = face.named, _inner_named(name)
    both = names.Named(named.shown or own.shown, tuple(dict.fromkeys(named.all + own.all)), named.cut)
    return msgspec.structs.replace(face, named=both)


def _inner_named(name: bytes) -> names.Named:
    return names.normal([headers.words(decode.guessed(name))])


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
