"""How an HTML document looks: what is seen of its text and what is not, its links with their wording, its devices.

One parse by Lexbor, which the octets read are few enough for; documents on which it would be slow are read by pattern.
"""

import html
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

import msgspec
from selectolax.lexbor import LexborHTMLParser, LexborNode

from gatepost.message.markup import left_tree, slow
from gatepost.message.octets import octets
from gatepost.message.recent import Recent

READ_MAX = 131_072
"""Octets of a document that are looked at."""

_NODES_MAX = 500  # elements whose style is read
_ANCHORS_MAX = 300
_ANCHOR = 500  # octets that an anchor takes, about
_TEXTS_MAX = 2 * READ_MAX  # characters of elements' texts that are gone through
_ABOVE_MAX = 20  # elements above one in which its background is sought
_SILENT = ["script", "style", "head", "title", "template", "noscript"]
_UNSEEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|opacity\s*:\s*0*\.?0*\s*(?:;|!|\Z)|font-size\s*:\s*0*\.?0*\s*(?:px|pt|em|%)?"
    r"\s*(?:;|!|\Z)|max-height\s*:\s*0\s*(?:px)?\s*(?:;|!|\Z)",
    re.IGNORECASE,
)
_TINY = re.compile(r"font-size\s*:\s*(?:[0-3](?:\.\d+)?\s*p[xt]|0?\.[0-2]\d*\s*em)", re.IGNORECASE)
_COLOUR = re.compile(r"(?<![\w-])color\s*:\s*([^;!]+)", re.IGNORECASE)
_BACKGROUND = re.compile(r"background(?:-color)?\s*:\s*([^;!]+)", re.IGNORECASE)
_RGB = re.compile(r"rgba?\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})")
_NAMED = {"white": (255, 255, 255), "black": (0, 0, 0), "snow": (255, 250, 250), "ivory": (255, 255, 240)}
_BETWEEN = re.compile(
    rb"(?:<!--?[^<>]{0,100}>|<![^<>\s-][^<>]{0,100}>|<(\w{1,10})(?: [^<>]{0,100})?></\1>)(?=[a-zA-Z])"
)
_TORN = octets(rb"[a-zA-Z]<(?:!|\w+(?: [^<>]*)?></)")  # what goes before that, by a quicker engine
_CODED = re.compile(rb"&#(?:6[5-9]|[78][0-9]|9[07-9]|1[01][0-9]|12[0-2]|x[46][1-9a-f]|x[57][0-9a]);", re.IGNORECASE)
_ANY_TAG = re.compile(r"<[^<>]*>")
_USUAL = 200  # characters of a style that is likely to come again
_BRIGHT = 190  # of 255; darker text is seen on what mails have for paper
_DEVICES = octets(rb"refresh|password|<(?:script|form|iframe|object|embed)")

Colour = tuple[int, int, int]


class Anchor(msgspec.Struct, frozen=True, gc=False):
    """A link as it is shown: its wording ("" for a picture alone), and where it leads, as written."""

    text: str
    href: str


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What is seen of a document, and what it does.

    `text` is what is seen, blanks collapsed. `hidden` counts characters that nobody sees (not displayed, or without
    size), `faint` those in the colour of their background, `tiny` those of three pixels at most. `splits` counts words
    that are torn by something unseen, `coded` ASCII letters written as numbers. `images` are those larger than a dot.
    """

    text: str
    hidden: int = 0
    faint: int = 0
    tiny: int = 0
    splits: int = 0
    coded: int = 0
    images: int = 0
    dots: int = 0
    anchors: tuple[Anchor, ...] = ()
    forms: int = 0
    passwords: bool = False
    scripts: bool = False
    frames: bool = False
    refresh: bool = False


def look(raw: bytes) -> Look:
    """Look at an HTML document in ASCII or UTF-8; never raises."""
    return _recent(raw[:READ_MAX])


def _looked(raw: bytes) -> Look:
    splits, coded = _splits(raw), len(_CODED.findall(raw)) if b"&#" in raw else 0
    known = left_tree(raw)
    if known is None and slow(raw):
        text = html.unescape(_ANY_TAG.sub(" ", raw.decode("utf-8", "replace")))
        return Look(text=_flat(text), splits=splits, coded=coded)
    tree, devices = known or (LexborHTMLParser(raw), True)
    lower = raw.lower()
    images = [_dot(node) for node in tree.tags("img")] if b"<img" in lower else []
    anchors = tuple(_anchors(tree)) if b"<a" in lower else ()
    devices = devices and _DEVICES.search(lower) is not None
    scripts = devices and b"<script" in lower and any(map(_runs, tree.css("script")))
    refresh = devices and b"refresh" in lower and bool(tree.css("meta[http-equiv='refresh' i]"))
    tree.strip_tags(_SILENT)
    styles = _Styles()
    if b"style" in lower or b"color" in lower or b"hidden" in lower:
        styles.read(tree)
    return Look(
        text=_flat(tree.body.text(separator=" ")) if tree.body is not None else "",
        hidden=styles.hidden,
        faint=styles.faint,
        tiny=styles.tiny,
        splits=splits + styles.splits,
        coded=coded,
        images=images.count(False),
        dots=images.count(True),
        anchors=anchors,
        forms=lower.count(b"<form") if devices else 0,
        passwords=devices and b"password" in lower and bool(tree.css("input[type='password' i]")),
        scripts=scripts,
        frames=devices and (b"<iframe" in lower or b"<object" in lower or b"<embed" in lower),
        refresh=refresh,
    )


def _weight(found: Look) -> int:
    return len(found.text) + _ANCHOR * len(found.anchors)


_recent = Recent(_looked, weight=_weight)


def _splits(raw: bytes) -> int:
    """Count comments and empty elements that stand inside a word."""
    if (b"<!" not in raw and b"></" not in raw) or _TORN.search(raw) is None:
        return 0
    return sum(raw[match.start() - 1 : match.start()].isalpha() for match in _BETWEEN.finditer(raw))


def _flat(text: str) -> str:
    return " ".join(text.split())


def _anchors(tree: LexborHTMLParser) -> Iterator[Anchor]:
    left = _TEXTS_MAX  # links in links, which tables allow, have the same text again and again
    targets = ((node, attributes["href"]) for node in tree.tags("a") if "href" in (attributes := node.attributes))
    for node, target in islice(targets, _ANCHORS_MAX):
        href = target or ""
        if href and not href.startswith("#"):
            text = node.text(separator=" ")
            yield Anchor(_flat(text)[:300], href[:1000])
            left -= len(text)
            if left < 0:
                return


def _runs(node: LexborNode) -> bool:
    """Tell whether a script is one: what machines read of a mail (JSON-LD) runs nothing."""
    return "json" not in (node.attributes.get("type") or "").lower()


def _dot(node: LexborNode) -> bool:
    """Tell whether a picture is there to be fetched, not to be seen."""
    attributes = node.attributes
    sizes = [(attributes.get(name) or "").strip().removesuffix("px") for name in ("width", "height")]
    return all(size in ("0", "1", "2") for size in sizes)


class _Styles:
    """Reads what styles do to text; takes out of the tree what nobody sees."""

    def __init__(self) -> None:
        self.hidden = self.faint = self.tiny = self.splits = 0
        self._left = _TEXTS_MAX
        self._unseen: list[LexborNode] = []

    def read(self, tree: LexborHTMLParser) -> None:
        for node in tree.css("[style],[hidden],font[color]")[:_NODES_MAX]:
            if node.tag in ("body", "html"):
                continue
            if self._left < 0:
                break
            attributes = node.attributes
            style = _style(attributes.get("style") or "", attributes.get("color") or "")
            if style.unseen or "hidden" in attributes:
                self._unseen.append(node)
            elif style.tiny:
                self.tiny += self._length(node)
            elif style.bright is not None:
                self._bright(node, style.bright)
        self._take_out()

    def _take_out(self) -> None:
        """Take the unseen elements out of the tree: the outermost, as those inside go with them."""
        known = {node.mem_id for node in self._unseen}
        outermost = [node for node in self._unseen if known.isdisjoint(_above(node))]
        for node in outermost:
            self.hidden += self._length(node)
            before, after = node.prev, node.next
            if before is not None and after is not None and before.tag == after.tag == "-text":
                self.splits += _ends_in_letter(before.text_content) and _begins_with_letter(after.text_content)
        for node in outermost:
            node.decompose()

    def _length(self, node: LexborNode) -> int:
        text = node.text(separator=" ")
        self._left -= len(text)
        return len(_flat(text))

    def _bright(self, node: LexborNode, ink: Colour) -> None:
        ground = _ground(node)
        if ground is not None and max(abs(one - other) for one, other in zip(ink, ground, strict=True)) <= 16:
            self.faint += self._length(node)


class _Style(NamedTuple):
    """What an element's style does to its text; `bright` is its colour where that can be one of a background."""

    unseen: bool
    tiny: bool
    bright: Colour | None


def _style(style: str, color: str) -> _Style:
    """Read a style, and the colour that an attribute gives."""
    return (_usual_style if len(style) + len(color) <= _USUAL else _read_style)(style, color)


def _read_style(style: str, color: str) -> _Style:
    said = _COLOUR.search(style) if color or "olor" in style else None
    ink = colour(said[1] if said else color)
    bright = ink if ink is not None and min(ink) >= _BRIGHT else None
    return _Style(bool(_UNSEEN.search(style)), bool(_TINY.search(style)), bright)


_usual_style = lru_cache(maxsize=2048)(_read_style)  # the cells of a table have the same, and the next mail's too


def _above(node: LexborNode) -> Iterator[int]:
    above = node.parent
    while above is not None:
        yield above.mem_id
        above = above.parent


def _ends_in_letter(text: str | None) -> bool:
    return bool(text) and text[-1:].isalpha()  # type: ignore[index]


def _begins_with_letter(text: str | None) -> bool:
    return bool(text) and text[:1].isalpha()  # type: ignore[index]


def _ground(node: LexborNode) -> Colour | None:
    """Return the colour behind an element, white where none is said, None where a picture may be."""
    above: LexborNode | None = node
    for _ in range(_ABOVE_MAX):
        if above is None:
            break
        attributes = above.attributes
        said = _BACKGROUND.search(attributes.get("style") or "")
        if said or attributes.get("bgcolor"):
            return colour(said[1] if said else attributes.get("bgcolor") or "")
        if attributes.get("background"):
            return None
        above = above.parent
    return 255, 255, 255


def colour(text: str) -> Colour | None:
    """Read a colour of CSS or HTML: #rgb, #rrggbb, rgb(), and the names that matter here; None for any other."""
    text = text.strip(" \t\"'").lower()
    if found := _RGB.match(text):
        return int(found[1]), int(found[2]), int(found[3])
    digits = text.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    try:
        number = int(digits[:6], 16) if len(digits) == 6 else None
    except ValueError:
        number = None
    return _NAMED.get(text) if number is None else (number >> 16, number >> 8 & 255, number & 255)
