"""HTML: the attribute values that may be URLs, the base, the texts; by Lexbor, or by pattern where it would be slow.

Lexbor takes quadratic time for deeply nested elements and for elements with thousands of attributes (measured: 200,000
open <div> take minutes), and opens anew in each paragraph, as HTML has it, what formatting was left open before (80 kB
of 240 open <b> and 10,000 <p> become 2.4 million elements in 800 MB). Such documents, which nobody writes in good
faith, are read by pattern instead.
"""

import html
import re
from collections import Counter
from collections.abc import Iterator

import msgspec
import re2  # type: ignore[import-untyped]
from selectolax.lexbor import LexborHTMLParser, LexborNode

from gatepost.message.recent import LONGEST

PARSED_MAX = 2_000_000  # octets that Lexbor gets (libraries 6); what follows is read by pattern
_DEPTH_MAX = 256
_SUSPECT = 2000  # tags from which on the depth is estimated
_NAMES = (
    "href src action formaction background data poster cite longdesc codebase srcset lowsrc dynsrc manifest profile "
    "usemap classid archive ping imagesrcset srcdoc to from values xlink:href"
)
_ATTRIBUTES = tuple(_NAMES.split())
_RARE = tuple(name for name in _ATTRIBUTES if name not in ("href", "src") and ":" not in name)
_ANY_RARE = re2.compile((r"[\s\"'/](?:" + "|".join(_RARE) + r")\s*=").encode())
_HANDLER = re2.compile(rb"(?i)[\s\"'/]on[a-z]{4,18}\s*=\s*(?:\"([^\"]+)\"|'([^']+)'|([^\s>\"'][^\s>]*))")
_ANY_DEVICE = re2.compile(  # in one pass: most have none
    rb"url\(|@import|refresh|password|xlink|<(?:script|template|form|iframe|object|embed)|\bon[a-z]{4,18}\s*=|"
    + _ANY_RARE.pattern
)
_RARE_SELECTOR = ",".join(f"[{name}]" for name in _RARE)
_TAG = re.compile(rb"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_LONG_TAG = re.compile(rb"<[a-zA-Z][^<>]{4000,}")
_BLANK = re.compile(rb"[\s/\"']")
_COPIES = 100_000  # elements that formatting left open may become
_PASSES = 12  # pairs within pairs that are looked for
_FORMATTING_NAMES = rb"b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u"  # HTML 13.2.4.3; an <a> ends another
_FORMATTING = re.compile(rb"<(?:" + _FORMATTING_NAMES + rb")[ \t\r\n\f/>]", re.IGNORECASE)
# What follows a tag's name, of such tags alone as every reader ends at the same place (HTML 13.2.5.32 to 40).
_VALUE = rb"(?:\"[^\"]*+\"|'[^']*+'|[^ \t\r\n\f\"'<>=`]++)"
_STRICT = (
    rb"(?=[ \t\r\n\f/>])(?:[ \t\r\n\f/]*+[^ \t\r\n\f\"'<>/=]++(?:[ \t\r\n\f]*+=[ \t\r\n\f]*+" + _VALUE + rb")?+)*+"
    rb"[ \t\r\n\f/]*+>"
)
_CLOSED = _STRICT + rb"[^<]*+</\1[ \t\r\n\f]*+>"
_PAIR = re.compile(rb"<(" + _FORMATTING_NAMES + rb")" + _CLOSED, re.IGNORECASE)
_BLOCK = re.compile(
    rb"<(a|div|p|h[1-6]|center|blockquote|ul|ol|li|table|thead|tbody|tr|t[dh])" + _CLOSED, re.IGNORECASE
)
_PLAIN = re.compile(rb"<(?:img|br|wbr|span)" + _STRICT + rb"|</span[ \t\r\n\f]*+>", re.IGNORECASE)
_VOID = frozenset(b"br hr img input meta link area base col embed param source track wbr".split())
_BY_PATTERN = re.compile(
    rb"\b(?:" + "|".join(_ATTRIBUTES).encode() + rb"|url|content)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"']+))",
    re.IGNORECASE,
)
_BASE = re.compile(rb"<base\b[^<>]{0,500}?\bhref\s*=\s*[\"']?([^\"'>\s]+)", re.IGNORECASE)
_ANY_TAG = re.compile(rb"<[^<>]*>")
_SHOWN_COMMENT = re2.compile(rb"(?is)<!--\s*\[if\b[^\]]*\]>(.*?)<!\s*\[endif\]")
_SCRIPT = re2.compile(rb"(?is)<script\b[^>]*>(.*?)</script")
_CSS_URL = re.compile(r"(?:url\(|@import(?!\s*url\())\s*[\"']?([^\"')\s]{3,2000})", re.IGNORECASE)
# What is behind the seconds, `url=` or not (HTML 4.2.5.3); elsewhere what is behind `url=`.
_REFRESH = re.compile(r"(?:\A[\s0-9.]*[;,]\s*|\burl\s*=\s*)[\"']?(?:url\s*=\s*)?[\"']?([^\"']+)", re.IGNORECASE)


class Page(msgspec.Struct, frozen=True):
    """What a document says: attribute values (entities resolved), the base ("" if none), texts and scripts in UTF-8."""

    attributes: tuple[str, ...]
    base: str
    texts: tuple[bytes, ...]
    scripts: tuple[bytes, ...] = ()


def read(raw: bytes) -> Page:
    """Read an HTML document in ASCII or UTF-8, up to PARSED_MAX octets of it; never raises."""
    return next(pages(raw))


def pages(raw: bytes) -> Iterator[Page]:
    """Read an HTML document in ASCII or UTF-8, a page for each PARSED_MAX octets or less; never raises."""
    start, base = 0, ""
    while start < len(raw) or not start:
        end = _cut(raw, start)
        piece = raw if end - start == len(raw) else raw[start:end]
        page = _by_pattern(piece) if start or slow(piece) else _whole(piece)
        base = base or page.base
        yield Page(page.attributes, base, page.texts, page.scripts)
        start = max(end, 1)


def _whole(raw: bytes) -> Page:
    page = _parsed(raw)
    shown = _SHOWN_COMMENT.findall(raw) if b"[if" in raw else []  # comments that Outlook shows
    if not shown:
        return page
    more = _by_pattern(b"\n".join(shown))
    return Page(
        page.attributes + more.attributes, page.base or more.base, page.texts + more.texts, page.scripts + more.scripts
    )


def _cut(raw: bytes, start: int) -> int:
    """Return where the next piece ends: in front of a tag, so that none is torn."""
    end = start + PARSED_MAX
    return len(raw) if end >= len(raw) else max(raw.rfind(b"<", start + PARSED_MAX // 2, end), 0) or end


def slow(raw: bytes) -> bool:
    """Tell whether Lexbor might take long for a document."""
    if len(raw) > 4000 and max(map(len, raw.split(b"<"))) > 4000 and _crowded(raw):
        return True
    return multiplies(raw) or (raw.count(b"<") > _SUSPECT and _depth(raw) > _DEPTH_MAX)


def multiplies(raw: bytes, most: int = _COPIES) -> bool:
    """Tell whether formatting that is left open may be opened anew so often (HTML 13.2.4.3).

    What is closed is believed only where nothing stands between but text and other pairs: an end tag may stand in
    an attribute, a comment or a script, or behind an element that it does not reach through.
    """
    tags = raw.count(b"<")
    left = len(_FORMATTING.findall(raw)) if tags * tags > most else 0
    if left * tags <= most:
        return False
    raw = _PLAIN.sub(b" ", raw)
    for _ in range(_PASSES):
        raw, blocks = _BLOCK.subn(b" ", raw)  # a blank, so that what stood around it makes no tag
        raw, closed = _PAIR.subn(b" ", raw)
        left -= closed
        if not (blocks or closed) or left * tags <= most:
            break
    return left * tags > most


def _crowded(raw: bytes) -> bool:
    """Tell whether a tag has very many attributes."""
    return any(len(_BLANK.findall(match[0])) > 500 for match in _LONG_TAG.finditer(raw))


def _depth(raw: bytes) -> int:
    """Return an upper bound of the nesting: each name counted by itself, since stray end tags close nothing."""
    open_now: Counter[bytes] = Counter()
    deepest: Counter[bytes] = Counter()
    for tag in _TAG.finditer(raw):
        slash, name = tag.groups()
        if slash:
            open_now[name] -= open_now[name] > 0
        elif (lower := name.lower()) not in _VOID:
            open_now[name] += 1
            deepest[lower] = max(deepest[lower], open_now[name])
    return deepest.total()


def _parsed(raw: bytes) -> Page:
    tree = LexborHTMLParser(raw)
    whole = True
    values: list[str] = []
    base = ""
    lower = raw.lower()
    devices = _ANY_DEVICE.search(lower) is not None
    nodes = _nodes(tree, lower, devices=devices)
    if len(nodes) > raw.count(b"<"):  # formatting that was left open, with addresses: each copy has the same
        return _by_pattern(raw)
    for node in nodes:
        if node.tag == "base":
            base = base or (node.attributes.get("href") or "").strip()
        values += _of_node(node)
    body = tree.body
    if body is not None and b"<style" in lower:
        for style in body.css("style"):
            style.decompose()  # no text: "td.name" is no host
            whole = False
    texts = [body.text(separator="\n", strip=False)] if body is not None else []
    scripts = [node.text() for node in tree.css("script")] if devices and b"<script" in lower else []
    if devices:
        scripts += _handlers(raw)
    if devices and b"<template" in lower:  # Lexbor's selectors do not look into it
        values += _by_pattern(raw).attributes
    _left.clear()
    if whole and len(raw) <= LONGEST:
        _left[raw] = tree, devices
    return Page(tuple(values), base, _in_utf8(texts), _in_utf8(scripts))


_left: dict[bytes, tuple[LexborHTMLParser, bool]] = {}


def left_tree(raw: bytes) -> tuple[LexborHTMLParser, bool] | None:
    """Return the tree of a document if it was the last that was read, once: whoever takes it may change it.

    Beside it whether the document may have devices. A mail's links are gathered first, then it is looked at how it
    looks; most have one document.
    """
    return _left.pop(raw, None)


def _in_utf8(texts: list[str]) -> tuple[bytes, ...]:
    return tuple(text.encode("utf-8", "replace") for text in texts)


def _handlers(raw: bytes) -> list[str]:
    """Return the scripts that stand in attributes."""
    found = dict.fromkeys(b"".join(match) for match in _HANDLER.findall(raw))
    return [html.unescape(script.decode("utf-8", "replace")) for script in found]


def _nodes(tree: LexborHTMLParser, lower: bytes, *, devices: bool) -> list[LexborNode]:
    """Return the elements that may hold a URL; a selector is costly, so rare ones are asked only if they may hit.

    `devices`: there are others than links and pictures.
    """
    selectors = ["[href],[src]"] if b"href" in lower or b"src" in lower else []
    if not devices:
        return tree.css(selectors[0]) if selectors else []
    if b"url(" in lower or b"@import" in lower:
        selectors.append("[style],style")
    if b"refresh" in lower:
        selectors.append("meta[http-equiv]")
    if b"xlink" in lower:
        selectors.append("svg *")
    if _ANY_RARE.search(lower):
        selectors.append(_RARE_SELECTOR)
    return tree.css(",".join(selectors)) if selectors else []


def _of_node(node: LexborNode) -> list[str]:
    if node.tag == "style":
        return _CSS_URL.findall(node.text())
    found = []
    for name, value in node.attributes.items():
        if not value:
            continue
        if name == "style":
            found += _CSS_URL.findall(value)
        elif name in ("srcset", "imagesrcset"):
            found += [piece.split()[0] for piece in value.split(",") if piece.strip()]
        elif name == "content" and node.tag == "meta":
            found += _REFRESH.findall(value)
        elif name == "values":  # of an animation that changes where a link leads
            found += value.split(";")
        elif name in _ATTRIBUTES:
            found.append(value)
    return found


def _by_pattern(raw: bytes) -> Page:
    """Read what looks like attributes, wherever it stands."""
    raws = dict.fromkeys(match[match.lastindex or 0] for match in _BY_PATTERN.finditer(raw))
    values = [html.unescape(value.decode("utf-8", "replace")) for value in raws]
    refreshes = [url for value in values for url in _REFRESH.findall(value)]
    refreshes += [step for value in values if ";" in value for step in value.split(";") if "//" in step]
    base = _BASE.search(raw)
    text = html.unescape(_ANY_TAG.sub(b"\n", raw).decode("utf-8", "replace"))
    scripts = [script.decode("utf-8", "replace") for script in _SCRIPT.findall(raw)] + _handlers(raw)
    return Page(
        tuple(values + refreshes),
        html.unescape(base[1].decode("utf-8", "replace")) if base else "",
        (text.encode("utf-8", "replace"),),
        _in_utf8(scripts),
    )
