"""Links inside files: in documents, shortcuts and scripts, and in what archives hold.

They are found as they stand in the octets; no format is read as a whole but HTML. OOXML keeps the targets of links, of
templates and of objects in its `.rels` (ECMA-376 2, 9.3), fields in attributes; older documents (OLE2) and shortcuts
have their texts in octets or in UTF-16.
"""

import html
import re
from collections.abc import Iterator, Sequence
from itertools import islice

import re2  # type: ignore[import-untyped]

from gatepost.message import decode, pdf, sniff, wrapped
from gatepost.message.anatomy import Link
from gatepost.message.links import ASIDES_MAX, Collector

OCTETS = 4_194_304
"""Octets of one file that are looked into."""

ALL_OCTETS = 16_777_216
"""Octets of all files of a mail that are looked into. What lies behind them is not told of: no mail is held for it."""

HTML_NAMES = (".html", ".htm", ".xhtml", ".shtml", ".svg", ".hta")
HTML_TYPES = frozenset({"text/html", "image/svg+xml", "application/xhtml+xml"})

_DOCUMENTS = frozenset({"ole", "onenote"})
_XML_NAMES = (".xml", ".rels")
_XML_VALUE = re2.compile(rb"\b(?:Target|href|instr|src|url)\s*=\s*[\"']([^\"'<>]+)")
_SHARE = re.compile(rb"\\\\(?:[?.]\\(?i:UNC)\\)?([A-Za-z0-9_.-]{1,253}(?:@[A-Za-z0-9@]{1,10})?\\[^\s<>\"'\x00]*)")
POINTERS = frozenset({"application/x-ms-shortcut", "application/x-ms-settings"})  # to shares of other hosts, too
_RDP = re.compile(
    rb"^[\xef\xbb\xbf\xfe\xff]*(?:(?:alternate )?full address|gatewayhostname):s:([^\s:]{1,253})",
    re.MULTILINE | re.IGNORECASE,
)
_RTF_OCTET = re.compile(rb"\\'([0-9A-Fa-f]{2})")
_RTF_CHARACTER = re.compile(rb"\\u(-?[0-9]{1,5}) ?\??")
_RTF_SILENT = re.compile(rb"[\r\n{}]++|\\(?!par\b|line\b|tab\b|cell\b|row\b)[a-zA-Z]{1,32}(?:-?[0-9]{1,10})? ?")
_XML_TAG = re.compile(rb"<[^<>]*>")


def is_page(media: str, names: Sequence[str]) -> bool:
    """Tell by its type or its names whether a browser shows a file as a page."""
    return media in HTML_TYPES or any(name.lower().endswith(HTML_NAMES) for name in names)


class Inside:
    """Reads the files of one mail for links, as far as their octets are to be looked into."""

    def __init__(self) -> None:
        self._left = ALL_OCTETS

    def links(self, content: bytes, media: str, kind: str, names: Sequence[str]) -> tuple[Link, ...]:
        """Return where a file leads, at most ASIDES_MAX links; `media` and `kind` as `sniff` says."""
        found = Collector(ASIDES_MAX)
        lower = tuple(name.lower() for name in names)
        if media == "application/pdf":
            for url in pdf.urls(content, len(self._taken(content)))[0]:
                found.read_text(url, 0)
        if is_page(media, lower):
            found.read_html(_utf8(self._taken(content)), 0)
        elif media == "text/xml" or any(name.endswith(_XML_NAMES) for name in lower):
            _read_xml(_utf8(self._taken(content)), found)
        elif kind in _DOCUMENTS or media.startswith("text/") or media in POINTERS or sniff.script_type(names):
            scripted = bool(sniff.script_type(names))
            points = not POINTERS.isdisjoint((media, sniff.script_type(names)))
            for text in _readings(self._taken(content)):
                for share in islice(_SHARE.finditer(text), ASIDES_MAX) if points else ():
                    found.read_target("\\\\" + share[1].decode("ascii", "replace"), 0)
                for host in islice(_RDP.finditer(text), ASIDES_MAX) if points else ():
                    found.read_target("http://" + host[1].decode("utf-8", "replace"), 0)
                if scripted:
                    found.read_script(text, 0)
                else:
                    found.read_text(wrapped.card_text(text) if wrapped.is_folded(media, lower) else text, 0)
        return found.links

    def _taken(self, content: bytes) -> bytes:
        some = content[: min(OCTETS, self._left)]
        self._left -= len(some)
        return some


def _read_xml(raw: bytes, found: Collector) -> None:
    """Take what attributes and text name; not the names of schemas, which look like URLs."""
    for value in dict.fromkeys(_XML_VALUE.findall(raw)):
        target = html.unescape(value.decode("utf-8", "replace"))
        found.read_target(target, 0)
        found.read_text(target.encode("utf-8", "replace"), 0)
    text = html.unescape(_XML_TAG.sub(b"\n", raw).decode("utf-8", "replace"))
    found.read_text(text.encode("utf-8", "replace"), 0)


def _readings(content: bytes) -> Iterator[bytes]:
    """Yield octets as they are, and what of them is ASCII in UTF-16, whichever its order and wherever it begins."""
    yield content
    if content.startswith(b"{\\rt"):
        yield rtf_text(content)
    if b"\0" in content:
        yield content[::2]
        yield content[1::2]


def rtf_text(content: bytes) -> bytes:
    """Return an RTF document with the characters that it spells in digits as they are; where a URL is then torn by
    what shows nothing (line ends, groups, control words), once more without that."""
    plain = _RTF_CHARACTER.sub(_meant, _RTF_OCTET.sub(lambda match: bytes.fromhex(match[1].decode("ascii")), content))
    return plain + b"\n" + _RTF_SILENT.sub(b"", plain) if b":" in plain else plain


def _meant(match: re.Match[bytes]) -> bytes:
    return chr(int(match[1]) & 0xFFFF).encode("utf-8", "replace")


def _utf8(content: bytes) -> bytes:
    return decode.text(content).encode("utf-8", "replace")
