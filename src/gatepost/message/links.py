"""Links: the URLs in texts and HTML, their hosts brought to one form however they are disguised (threat 61).

Linear in the input. URLs are read as browsers do (WHATWG URL), more leniently where people are told to repair them.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import unquote, unquote_to_bytes, urljoin

import re2  # type: ignore[import-untyped]

from gatepost.message import bare, markup, scripts
from gatepost.message.anatomy import Link, Source
from gatepost.message.hosts import SCHEME, UNDOT, has_suffix, host_of, registered
from gatepost.message.recent import Recent

URL_MAX = 1000
LINKS_MAX = 10_000
ASIDES_MAX = 2_000
_LINK = 800  # octets that a link takes, about
_INNER_PAGES = 50  # of one page that are looked into
_SCAN_MAX = 4096  # octets of one URL that are looked into

_DOT = r"(?:\.|\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\)|\{dot\})"
_REST, _REST_IN_ASCII = r"[^\s<>\"'`\x00-\x1f\x7f]+", r"[^\s<>\"'`\x00-\x1f\x7f-\xff]+"
_SCHEME_START = r"(?:h(?:tt|xx|\*\*)ps?|\b(?:ftps?|fxps?|file|webcals?|smb))(?:\[:\]|\(:\)|:|\[:)[/\\]{1,4}(?:\])?"
_URL_START = rf"(?i)(?:{_SCHEME_START}|\bwww[0-9]{{0,3}}{_DOT})"
_URL_IN_ASCII = re.compile((_URL_START + _REST_IN_ASCII).encode())
_URL_IN_UTF8 = re2.compile((_URL_START + _REST).encode())
_BEGINNINGS = (b"http", b"hxxp", b"h**p", b"ftp", b"fxp", b"www", b"file:", b"webcal:", b"smb:")
_BARE_BEGINNINGS = (b"www",)  # that no colon need follow
_COLON = ord(":")
_BEGINNING_MAX = 16  # octets of what comes before a URL's host
_WINDOW = 1_048_576  # octets of a text that are looked at in lower case at once
_DEFANGED = re2.compile(
    rb"(?i)\b[a-z0-9_-]+(?: ?(?:\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\)|\{dot\}) ?[a-z0-9_-]+|\.[a-z0-9_-]+)+"
)
# A share of another host, of which mail programs make a link; no path of Windows that a program has spelled.
_SHARE = re.compile(
    rb"(?<![\\\w])(?<!\b[A-Za-z]:)\\\\((?:[A-Za-z0-9_-]{1,63}\.){1,20}[A-Za-z0-9-]{1,63})(@[A-Za-z0-9@]{1,10})?(\\[^\s<>\"'|]+)"
)
_ANY_HOST = re.compile(r"[a-z][a-z0-9+.-]{0,40}:/{2,}([^/?#\\]{1,300})", re.IGNORECASE)
_ANY_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,40}:", re.IGNORECASE)
_DATA = re.compile(r"data:(?:text/html|text/xml|image/svg\+xml|application/(?:xhtml\+)?xml)[^,]{0,100},", re.IGNORECASE)
_INNER = re.compile(r"(?:https?|ftp)(?:://|:\\\\|%3a(?:%2f|/){2}|%253a(?:%252f){2}|-3a__)", re.IGNORECASE)
# Without a scheme: `?u=//host`, and what Google's AMP puts into its paths.
_INNER_BARE = re.compile(
    r"(?:=(?:[/\\]|%2f|%5c){2}|/(?:amp|[a-z])/s/|/amp/)((?:[a-z0-9-]{1,63}\.)+[a-z0-9-]{2,63})(?=[/?#&%:]|\Z)",
    re.IGNORECASE,
)
_BARE_MARKS = ("=/", "=\\", "=%2f", "=%5c", "/s/", "/amp/")
# Letters that nobody has to encode, and what is encoded three times: there may be a URL that hides.
_MASKED = re.compile(r"%(?:25)*(?:[46][1-9a-f]|[57][0-9a])|%25(?:25)+", re.IGNORECASE)
_MIRRORS = (".translate.goog", ".cdn.ampproject.org")  # show another host, which their first label names
_UNMASKED_MAX = 4  # times that a URL's encodings are resolved
_INNER_BASE64 = re.compile(r"[=/#?&:,](aHR0c(?:DovL|HM6Ly)[A-Za-z0-9+/_-]{4,1000})")
_IGNORED = dict.fromkeys(map(ord, "\t\r\n\u00ad\u200b\u2060\ufeff"))
_C0_AND_BLANK = "".join(map(chr, range(33)))
_TRAILING = ".,;:!?)]}>*|_\u201d\u2019\u00bb"


class Collector:
    """Gathers links, of one mail or file: each (host, URL) once, at most `most`; `full` tells that there were more.

    `asides` are those of `Anatomy.asides`, the first ASIDES_MAX of each source.
    """

    def __init__(self, most: int = LINKS_MAX) -> None:
        self._most = most
        self._found: dict[tuple[str, str], Link] = {}
        self._aside: dict[Source, dict[tuple[str, str], Link]] = {}
        self.full = False

    @property
    def count(self) -> int:
        """How many links and asides there are."""
        return len(self._found) + sum(map(len, self._aside.values()))

    @property
    def links(self) -> tuple[Link, ...]:
        return tuple(self._found.values())

    @property
    def asides(self) -> tuple[Link, ...]:
        return tuple(link for found in self._aside.values() for link in found.values())

    def take_text(self, raw: bytes, part: int, *, names: bool = True) -> None:
        """Take the links of a text as `read_text` does; one that came a moment ago is not read again.

        `names`: bare hosts, too, as a mail program does that shows the text.
        """
        self._take(_of_text(raw), part, names)

    def take_html(self, raw: bytes, part: int, *, names: bool = True) -> None:
        """Take the links of an HTML document as `read_html` does; one that came a moment ago is not read again."""
        self._take(_of_html(raw), part, names)

    def _take(self, other: "Collector", part: int, names: bool) -> None:
        for link in other._found.values():
            self._keep(Link(link.host, link.domain, link.url, link.source, part))
        for link in other.asides if names else ():
            self._set_aside(Link(link.host, link.domain, link.url, link.source, part))
        self.full = self.full or other.full

    def take_aside(self, links: Iterable[Link], part: int, source: Source = Source.FILE) -> None:
        """Take the links of files inside a part, or of what else mail programs don't show as links."""
        for link in links:
            self._set_aside(Link(link.host, link.domain, link.url, source, part))

    def read_subject(self, subject: str) -> None:
        """Take what a subject names: no mail program makes a link of it, but people go where it says."""
        if "." in subject:
            found = Collector()
            found.read_text(subject.encode("utf-8", "replace"), 0)
            self.take_aside(found.links + found.asides, 0, Source.SUBJECT)

    def read_text(self, raw: bytes, part: int, source: Source = Source.TEXT) -> None:
        """Take the links of a text in ASCII or UTF-8."""
        for url in _in_text(raw):
            if self.full:
                return
            self._add(url, source, part)
        for name, rest in dict.fromkeys(bare.hosts(raw)):
            if self.full:
                return
            if rest:
                self._add(_trimmed(f"http://{name}{rest}"), source, part)
            elif self._has_room_aside(Source.NAME) and (host := host_of(name)):
                self._set_aside(Link(host, registered(host), name, Source.NAME, part))

    def read_html(self, raw: bytes, part: int, *, within: bool = False) -> None:
        """Take the links of an HTML document in ASCII or UTF-8: attributes, and what stands in its text.

        `within`: it is itself the content of a data URL, in which no further ones are looked for.
        """
        for page in markup.pages(raw):
            self._read_page(page, part, within)
            if self.full:
                return

    def _read_page(self, page: markup.Page, part: int, within: bool) -> None:
        inner = 0
        for value in page.attributes:
            if self.full:
                return
            if value[:5].lower() == "data:" and not within:
                self._read_data(value, part)
            elif "<" in value[:20] and not within and inner < _INNER_PAGES:  # srcdoc
                inner += 1
                self.read_html(value.encode("utf-8", "replace"), part, within=True)
            else:
                self.read_target(value, part, page.base)
        for text in page.texts:
            self.read_text(text, part)
        for script in page.scripts:
            self.read_script(script, part, within=within)

    def read_script(self, raw: bytes, part: int, *, within: bool = False) -> None:
        """Take the links of a script, those too that it spells otherwise, and those of the pages that it writes."""
        for text in (raw, *scripts.spelled_out(raw)):
            self.read_text(text, part)
            self._read_schemeless(text, part)
        for hidden in () if within else scripts.in_base64(raw):
            self.read_html(hidden, part, within=True)

    def _read_schemeless(self, script: bytes, part: int) -> None:
        for address in scripts.without_scheme(script):
            if self.full:
                return
            self._add("http:" + address.decode("utf-8", "replace"), Source.HTML, part)

    def _read_data(self, url: str, part: int) -> None:
        """Take the links of a document that stands in a data URL (RFC 2397)."""
        start = _DATA.match(url)
        if start and start[0].lower().endswith(";base64,"):
            self.read_html(_base64(unquote(url[start.end() :])), part, within=True)
        elif start:
            self.read_html(unquote_to_bytes(url[start.end() :]), part, within=True)

    def read_target(self, value: str, part: int, base: str = "") -> None:
        """Take the URL that is the value of an attribute; a relative one only where there is a base."""
        if not value.isprintable() or value[:1] == " ":
            value = value.translate(_IGNORED).strip(_C0_AND_BLANK)
        if SCHEME.match(value):
            self._add(value, Source.HTML, part)
        elif value.startswith(("//", "\\\\", "/\\", "\\/")):
            self._add("http:" + value, Source.HTML, part)
        elif _ANY_SCHEME.match(value):
            self._add_inner(value, 0, part)  # mailto:, javascript:, ms-word:ofe|u|http://...
            self._read_schemeless(value.encode("utf-8", "replace"), part)
            self._read_odd(value, part)
        elif base and value and not value.startswith("#"):
            self._add(_joined(base, value), Source.HTML, part)

    def _read_odd(self, value: str, part: int) -> None:
        """Take the host of a URL of any other scheme, and the share in one (search-ms:crumb=location:\\\\...)."""
        named = _ANY_HOST.match(value)
        host = host_of(named[1]) if named else ""
        if named and (has_suffix(host) or _is_address(named[1])):
            self._keep(Link(host, registered(host), value[:URL_MAX], Source.HTML, part))
        for text in dict.fromkeys((value, unquote(value))):
            if (share := text.find("\\\\")) > 0:
                self._add("file:" + text[share:], Source.HTML, part)

    def _add(self, url: str, source: Source, part: int) -> None:
        url = url[:_SCAN_MAX]
        host = host_of(url)
        if host:
            self._keep(Link(host, registered(host), url[:URL_MAX], source, part))
            if host.endswith(_MIRRORS) and has_suffix(shown := _mirrored(host)):
                self._keep(Link(shown, registered(shown), url[:URL_MAX], Source.REDIRECT, part))
        self._add_inner(url, 8, part)

    def _add_inner(self, url: str, start: int, part: int) -> None:
        """Take URLs inside a URL: parameters of redirectors, once or twice percent-encoded, or base64."""
        found = _nested(url, start)
        if "%" in url:
            found += _masked(url, start)
        for inner in found:
            host = host_of(inner)
            if host:
                self._keep(Link(host, registered(host), inner[:URL_MAX], Source.REDIRECT, part))

    def _keep(self, link: Link) -> None:
        key = (link.host, link.url)
        if key in self._found:
            return
        if len(self._found) >= self._most:
            self.full = True
            return
        self._found[key] = link

    def _has_room_aside(self, source: Source) -> bool:
        return len(self._aside.get(source, ())) < ASIDES_MAX

    def _set_aside(self, link: Link) -> None:
        if self._has_room_aside(link.source):
            self._aside.setdefault(link.source, {}).setdefault((link.host, link.url), link)


def _gather_text(raw: bytes) -> Collector:
    found = Collector()
    found.read_text(raw, 0)
    return found


def _gather_html(raw: bytes) -> Collector:
    found = Collector()
    found.read_html(raw, 0)
    return found


def _weight(found: Collector) -> int:
    return _LINK * found.count


_of_text = Recent(_gather_text, weight=_weight)
_of_html = Recent(_gather_html, weight=_weight)


def _in_text(raw: bytes) -> Iterator[str]:
    starts, dotted = _signs(raw)
    for found in dict.fromkeys(_urls(raw, starts)):
        yield _trimmed(found.decode("utf-8", "replace"))
    if b"\\\\" in raw:
        yield from map(_trimmed, _shares(raw))
    if b"[." in raw or b"(." in raw or b"{." in raw or dotted:
        for found in dict.fromkeys(match[0] for match in _DEFANGED.finditer(raw)):
            url = found.decode("utf-8", "replace")
            mended = url.replace(" ", "")
            if UNDOT.search(url) and (mended == url or has_suffix(host_of(mended))):
                yield "http://" + mended


def _is_address(name: str) -> bool:
    """Tell an IPv4 address as people write it from other numbers."""
    return name.count(".") == 3 and host_of(name).replace(".", "").isdigit()


def _shares(raw: bytes) -> Iterator[str]:
    for host, port, path in dict.fromkeys(_SHARE.findall(raw)):
        name = host.decode("ascii")
        if has_suffix(name.lower()) or _is_address(name):
            yield f"file:\\\\{name}{port.decode()}{path.decode('utf-8', 'replace')}"


def _signs(raw: bytes) -> tuple[list[int], bool]:
    """Return where a URL can begin, in any case, and whether "dot" stands anywhere; without a second large text."""
    starts: list[int] = []
    dotted = False
    for begin in range(0, len(raw), _WINDOW):
        lower = raw[begin : begin + _WINDOW + _BEGINNING_MAX].lower()
        words = _BEGINNINGS if _COLON in lower else _BARE_BEGINNINGS
        met = [word for word in words if lower.find(word) >= 0]
        starts += sorted([begin + at for word in met for at in _places(lower, word) if at < _WINDOW])
        dotted = dotted or b"dot" in lower
    return starts, dotted


def _urls(raw: bytes, starts: Sequence[int]) -> Iterator[bytes]:
    """Yield what an expression finds where a URL can begin.

    RE2 knows UTF-8, but gives the interpreter's lock away: it is asked only where there are other characters.
    """
    end = 0
    for at in starts:
        if at < end:
            continue
        match = _URL_IN_ASCII.match(raw, at)
        behind = raw[match.end() : match.end() + 1] if match else raw[at : at + _BEGINNING_MAX]
        if not behind.isascii():
            match = _URL_IN_UTF8.match(raw, at)
        if match:
            end = match.end()
            yield match[0]


def _places(text: bytes, word: bytes) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + len(word))


def _trimmed(url: str) -> str:
    """Cut the punctuation that belongs to the sentence, and a bracket that was opened before the URL."""
    if url[-1] not in _TRAILING:
        return url
    kept = url.rstrip(_TRAILING)
    tail = url[len(kept) :]
    if tail.startswith(")") and "(" in kept:
        kept += ")"
    elif tail.startswith("]") and "[" in kept.rpartition("//")[2]:
        kept += "]"
    return kept


def _joined(base: str, value: str) -> str:
    try:
        return urljoin(base, value)
    except ValueError:
        return base


def _nested(url: str, start: int) -> list[str]:
    """Return URLs that stand inside another one, behind `start`."""
    lower = url.lower()
    found = []
    if any(mark in lower for mark in _BARE_MARKS):
        found += ["http://" + match[1] for match in _INNER_BARE.finditer(url, start) if has_suffix(match[1].lower())]
    if "http" in lower[start:] or "ftp" in lower[start:] or "ahr0c" in lower:
        begins = [match.start() for match in _INNER.finditer(url, start)]
        for begin, end in zip(begins, [*begins[1:], len(url)], strict=False):
            found.append(_unwrapped(url[begin:end]))
        found += [_from_base64(match[1]) for match in _INNER_BASE64.finditer(url, start)]
    return found


def _mirrored(host: str) -> str:
    """Return the host that a mirror of Google's shows: `evil-com` is evil.com, `a--b-com` a-b.com."""
    return "-".join(piece.replace("-", ".") for piece in host.partition(".")[0].split("--"))


def _masked(url: str, start: int) -> list[str]:
    """Return URLs that stand inside another one and are encoded so that they do not look like any."""
    found: list[str] = []
    for _ in range(_UNMASKED_MAX):
        if not _MASKED.search(url, start):
            break
        url = url[:start] + unquote(url[start:])
        found += _nested(url, start)
    return found


def _unwrapped(inner: str) -> str:
    if re.match(r"https?-3a__", inner, re.IGNORECASE):  # how urldefense.proofpoint.com writes "://"
        inner = inner.replace("_", "/").replace("-", "%")
    once = unquote(inner) if re.match(r"[a-z]+%", inner, re.IGNORECASE) else inner
    return unquote(once) if re.match(r"[a-z]+%", once, re.IGNORECASE) else once


def _from_base64(text: str) -> str:
    return _base64(text).decode("utf-8", "replace")


def _base64(text: str) -> bytes:
    """Decode either alphabet; what is no sign of it is passed over, as is the padding."""
    signs = re.sub(r"[^A-Za-z0-9_-]", "", text.replace("+", "-").replace("/", "_"))
    whole = signs[: len(signs) - (len(signs) % 4 == 1)]
    return base64.urlsafe_b64decode(whole + "=" * (-len(whole) % 4))
