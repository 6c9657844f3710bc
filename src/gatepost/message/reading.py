"""What a mail says: its text parts, or the text of its HTML, as a reader would see it."""

from collections.abc import Iterator

import msgspec
import re2  # type: ignore[import-untyped]

from gatepost.message import decode, markup
from gatepost.message.anatomy import TEXT_BYTES, Anatomy, Part
from gatepost.message.flowed import join
from gatepost.message.parse import dissect
from gatepost.message.table import Unpacked
from gatepost.settings import Limits

SKIMMED = 262_144
"""Octets at the beginning of a mail in which its text is looked for by `skim`."""

_SECONDS = 0.2  # that `skim` takes at most, or a little more
_FLOWED, _DELETED = (re2.compile(rb"(?i);\s*" + each) for each in (rb"format\s*=\s*\"?flowed", rb"delsp\s*=\s*\"?yes"))
_UNSEEN = re2.compile(rb"(?is)<script\b.*?</script\s*>|<style\b.*?</style\s*>|<title\b.*?</title\s*>")


def said(anatomy: Anatomy) -> str:
    """Return what the mail says, as plain text; attachments and what clients hide are left out.

    HTML is left out where a text says the same beside it; one without a word, as some programs send it, does not.
    """
    shown = [part for part in anatomy.parts if (part.body or not part.attachment) and not part.hidden and part.text]
    plains = {part.index: text for part in shown if part.types[0] == "text/plain" and (text := _plain(part)).strip()}
    told = {each for part in shown if part.index in plains for each in _choices(anatomy, part)}
    texts = []
    for part in shown:
        if part.index in plains:
            texts.append(plains[part.index])
        elif part.types[0] == "text/html" and told.isdisjoint(_choices(anatomy, part)):
            texts.append(stripped(part))
    return "\n".join(texts)


def _choices(anatomy: Anatomy, part: Part) -> Iterator[int]:
    """Yield the parts around one of which a client shows one alternative."""
    while part.parent >= 0:
        part = anatomy.parts[part.parent]
        if "multipart/alternative" in part.types:
            yield part.index


def _plain(part: Part) -> str:
    """The text of a plain part; paragraphs that were broken for the way stand on one line again."""
    text = decode.text(part.text, part.charset)
    given = next((each.value for each in part.headers if each.name.lower() == b"content-type"), b"")
    if not _FLOWED.search(given):
        return text
    return join(text.replace("\r\n", "\n"), delete=bool(_DELETED.search(given)))


def skim(raw: bytes, limits: Limits) -> str:
    """Return what the beginning of a mail says; archives stay closed, so that any thread may do it."""
    quick = msgspec.structs.replace(limits, scan_seconds=min(_SECONDS, limits.scan_seconds))
    return said(dissect(raw[:SKIMMED], quick, unpack=_closed))


def _closed(content: bytes, name: str, deadline: float) -> Unpacked:
    return Unpacked()


def stripped(part: Part, most: int = TEXT_BYTES) -> str:
    """Return the text of an HTML part, of its first so many octets; scripts, styles and the title are left out."""
    text = decode.text(part.text[:most], part.charset)
    page = markup.read(_UNSEEN.sub(b" ", text.encode("utf-8", "replace")))
    return "\n".join(text.decode("utf-8", "replace").strip() for text in page.texts if text.strip())
