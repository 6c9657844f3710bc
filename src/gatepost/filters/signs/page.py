"""Signs in the HTML: what it hides, how it tears words, which devices it uses."""

from collections.abc import Iterator

from gatepost.filters.signs.facts import Facts, Sign
from gatepost.message.look import Look

HIDDEN = 300  # characters beyond what senders of newsletters hide as a preview
TINY = 60
SPLITS = 3
CODED = 12
FEW = 100  # characters beside a picture that say little
_WHOLE = (b"<html", b"<!doctype", b"<body", b'<div dir="')  # the last is all that Gmail begins with


def page(facts: Facts) -> Iterator[Sign]:
    found = facts.prose.page
    if found is None:
        return
    if all("text/html" in part.types for part in facts.prose.parts):
        yield "HTML_ONLY", ""
    head = next(part.head for part in facts.prose.parts if "text/html" in part.types)[:2048].lower()
    if not any(mark in head for mark in _WHOLE):
        yield "HTML_FRAGMENT", ""
    yield from _unseen(found)
    yield from _devices(found)


def _unseen(found: Look) -> Iterator[Sign]:
    if found.hidden > HIDDEN and found.hidden > 0.5 * len(found.text):
        yield "HTML_HIDDEN", f"{found.hidden} characters"
    if found.faint > 5:
        yield "HTML_FAINT", f"{found.faint} characters"
    if found.tiny > TINY:
        yield "HTML_TINY", f"{found.tiny} characters"
    if found.splits >= SPLITS:
        yield "HTML_WORDS_SPLIT", f"{found.splits} times"
    if found.coded >= CODED:
        yield "HTML_LETTERS_CODED", f"{found.coded} letters"


def _devices(found: Look) -> Iterator[Sign]:
    if found.images and len(found.text) < FEW and found.anchors:
        yield "HTML_IMAGE_ONLY", ""
    if found.dots:
        yield "HTML_DOT", ""
    if found.passwords:
        yield "HTML_PASSWORD", ""
    elif found.forms:
        yield "HTML_FORM", ""
    if found.scripts or found.frames:
        yield "HTML_SCRIPT", ""
    if found.refresh:
        yield "HTML_REFRESH", ""
