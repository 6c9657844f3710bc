"""Scripts and pages: strings that they spell otherwise than they mean them, so that no address or file shows in them.

No script is run. What is undone is what pages sent by mail do: escapes of JavaScript, percent-encoding, and base64 of
an address or of a whole page, for `atob` and `document.write`.
"""

import binascii
import html
import re
from collections.abc import Iterator
from itertools import islice
from urllib.parse import unquote_to_bytes

import re2  # type: ignore[import-untyped]

from gatepost.message import decode, sniff

OCTETS = 2_000_000
"""Octets of one script that are undone."""

_PAGES = 20  # of one script
_FILES = 20  # of one page
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|u00([0-9A-Fa-f]{2})|u\{0*([0-9A-Fa-f]{2})\}|/)")
_PERCENT = re.compile(rb"%3[aA](?:%2[fF]|/)|%3[cC]")  # "://" or "<"
# A string that begins as "http" or as "<" does, with or without a mark of UTF-8 before it.
_BASE64 = re.compile(rb"[\"'`]((?:aHR0c|P[A-P]|77u/P)[A-Za-z0-9+/_-]{10,}={0,2})[\"'`]")

# A string that names a host and leaves the scheme to the browser.
_NO_SCHEME = re.compile(
    rb"[\"'`](//(?:[^\s\"'`<>\\/?#@]{1,200}+@)?[A-Za-z0-9_\x80-\xff-]{1,190}+(?:\.[A-Za-z0-9_\x80-\xff-]{1,190}+)++\.?+"
    rb"(?:(?=[\"'`])|[:/?#][^\s\"'`<>\\]*+))"
)

# Archives, programs, Office documents and their macros, shortcuts, OneNote pages and (zeros) disc images, by how they
# begin; in a string, a data URL or an element.
_FILE = re2.compile(
    rb"[\"'`,>]\s*((?:UEsDB|TV[opq]|UmFyIR|N3q8r|TVNDRg|0M8R4KGx|H4sI|TAAAAAEUAg|5FJce4zY|QWN0aXZlTWlt|A{40})"
    rb"[A-Za-z0-9+/\r\n]{60,}={0,2})"
)
_ZEROS = b"AAAA"
# What a page has whoever follows its link save, whatever it is, and the name under which; a style's `url(` is none.
_SAVED = re2.compile(
    rb"(?i)(url\(\s*(?:[\"']|&quot;|&#0?39;)?)?\bdata:([a-z0-9.+/-]{0,80})[^,\"'<>\s]{0,80};base64,([A-Za-z0-9+/=%\r\n]{8,})"
)
_SHOWN = (b"image/", b"font/", b"audio/", b"video/", b"text/css")
_DOWNLOAD = re2.compile(
    rb"(?i)\bdownload[\"']?\s*[=,]\s*[\"']?([^\s\"'<>;)]+)"
    rb"|\b(?:saveAs|msSaveBlob|msSaveOrOpenBlob)\s*\([^,()\"']{1,100},\s*[\"']([^\"']+)"
)


def spelled_out(raw: bytes) -> Iterator[bytes]:
    """Yield a script with its escapes resolved, and with its percent-encoding resolved; nothing where it has none."""
    raw = raw[:OCTETS]
    if b"\\" in raw and _ESCAPE.search(raw):
        yield _ESCAPE.sub(_meant, raw)
    if _PERCENT.search(raw):
        yield unquote_to_bytes(raw)


def _meant(match: re.Match[bytes]) -> bytes:
    digits = match[1] or match[2] or match[3]
    return binascii.unhexlify(digits) if digits else b"/"


def without_scheme(raw: bytes) -> Iterator[bytes]:
    """Yield the addresses that a script has as `//host/path`, each once."""
    if b"//" in raw:
        yield from {match[1]: None for match in _NO_SCHEME.finditer(raw[:OCTETS])}


def in_base64(raw: bytes) -> Iterator[bytes]:
    """Yield the addresses and pages that a script has in base64, the first of them."""
    for match in islice(_BASE64.finditer(raw[:OCTETS]), _PAGES):
        yield decode.base64_readings(match[1].translate(bytes.maketrans(b"-_", b"+/")))[0].data


def files(raw: bytes) -> list[tuple[bytes, bytes]]:
    """Return (name, content) of the files that a page, a script or a document in XML carries in base64."""
    if raw.startswith(decode.UTF_16):
        raw = decode.text(raw).encode("utf-8", "replace")
    name = _DOWNLOAD.search(raw)
    found = [match[1] for match in islice(_FILE.finditer(raw), _FILES)]
    if name:
        urls = (match for match in _SAVED.finditer(raw) if not (match[1] or match[2].lower().startswith(_SHOWN)))
        found += [unquote_to_bytes(match[3]) for match in islice(urls, _FILES)]
    if not found:
        return []
    shown = html.unescape((name[1] or name[2]).decode("utf-8", "replace")).encode() if name else b""
    saved = [(packed, decode.base64_readings(packed)[0].data) for packed in dict.fromkeys(found)]
    return [(shown, data) for packed, data in saved if not packed.startswith(_ZEROS) or sniff.container(data)]
