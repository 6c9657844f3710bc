"""What a reader sees of a mail: its subject, its text as it is shown, and how its HTML looks."""

import msgspec

from gatepost.message import decode
from gatepost.message.anatomy import Anatomy, Part
from gatepost.message.look import READ_MAX, Look, look
from gatepost.message.recent import Recent

TEXT_MAX = 65_536
"""Characters of text that are read."""

_SHOWN = frozenset({"text/plain", "text/html", "text/enriched"})


class Prose(msgspec.Struct, frozen=True):
    """The texts of a mail. `text` is what a usual program shows, blanks collapsed: the HTML where there is some.

    `plain` is the text of the plain parts, lines kept; `parts` are the text parts in order; `page` is None where there
    is no HTML.
    """

    subject: str
    text: str
    plain: str
    page: Look | None
    parts: tuple[Part, ...]


def prose(anatomy: Anatomy) -> Prose:
    """Read the texts of a mail; never raises."""
    parts = _own(anatomy, tuple(part for part in anatomy.parts if part.text and not part.hidden and _read(part)))
    plain = "\n".join(_text(part) for part in parts if "text/html" not in part.types)[:TEXT_MAX]
    pages = [look(_octets(part)) for part in parts if "text/html" in part.types][:3]
    page = max(pages, key=lambda each: len(each.text) + len(each.anchors), default=None)
    text = " ".join(each.text for each in pages)
    if not text or not _alternative(anatomy, parts):
        text = f"{text} {_collapsed(plain)}".strip() if text else _collapsed(plain)
    return Prose(anatomy.summary.subject, text[:TEXT_MAX], plain, page, parts)


def _collapse(plain: str) -> str:
    return " ".join(plain.split())


_collapsed = Recent(_collapse, weight=len)


def _own(anatomy: Anatomy, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Leave out the texts of mails inside the mail (forwarded, returned), unless there are no others."""
    inside: set[int] = set()
    for part in anatomy.parts:
        if part.parent in inside or (part.index > 0 and part.container and part.types[0].startswith("message/")):
            inside.add(part.index)
    return tuple(part for part in parts if part.index not in inside) or parts


def _read(part: Part) -> bool:
    return part.types[0] in _SHOWN and (part.body or not part.attachment)


def _text(part: Part) -> str:
    return decode.text(part.text[:READ_MAX], part.charset)


def _octets(part: Part) -> bytes:
    """Return the text in UTF-8."""
    raw = part.text[:READ_MAX]
    return raw if decode.is_ascii(raw, part.charset) else _text(part).encode("utf-8", "replace")


def _alternative(anatomy: Anatomy, parts: tuple[Part, ...]) -> bool:
    """Tell whether the plain text stands beside the HTML for the programs that show none."""
    plain = next((part for part in parts if "text/html" not in part.types), None)
    above = plain.parent if plain else -1
    return above >= 0 and "multipart/alternative" in anatomy.parts[above].types
