"""Says in plain text what an HTML document says: paragraphs, lists, quotes, links; for the text beside an HTML mail."""

import html
import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from gatepost.message.flowed import SIGNATURE
from gatepost.message.markup import PARSED_MAX, slow

_SILENT_NAMES = "head script style title template textarea select object svg math"
_APART_NAMES = "p h1 h2 h3 h4 h5 h6 ul ol dl blockquote pre table figure hr"
_BLOCK_NAMES = (
    "div li dt dd tr section article header footer nav main aside address form fieldset figcaption caption center"
)
_SILENT = frozenset(_SILENT_NAMES.split())
_APART = frozenset(_APART_NAMES.split())  # an empty line around
_BLOCKS = _APART | frozenset(_BLOCK_NAMES.split())
_STEPS = 6  # into elements, texts and out again, for each tag
_BLANKS = re.compile(r"[ \t\r\n\f]+")
_TAG = re.compile(r"<[^<>]*>")
_EDGE = re.compile(r"<(/?)(?:script|style)\b[^<>]*>", re.IGNORECASE)
_SHOWN = ("http://", "https://", "mailto:", "tel:", "ftp://")


def spoken(document: str) -> str:
    """Return a document's text, lines ended by a newline; an empty one gives an empty text. Never raises."""
    raw = document.encode("utf-8", "replace")
    if len(raw) > PARSED_MAX or slow(raw):
        return _by_pattern(document)
    body = LexborHTMLParser(raw).body
    scribe = _Scribe()
    most = _STEPS * (raw.count(b"<") + 100)
    for step, (node, entering) in enumerate(_walk(body) if body is not None else ()):
        if step > most:  # there is more in it than was written: formatting left open is opened anew in each paragraph
            return _by_pattern(document)
        (scribe.enter if entering else scribe.leave)(node)
    return scribe.text()


def _walk(root: LexborNode) -> Iterator[tuple[LexborNode, bool]]:
    """Yield each element as it begins and as it ends, without recursion; silent ones are left out."""
    waiting = [(root, True)]
    while waiting:
        node, entering = waiting.pop()
        yield node, entering
        if entering and node.tag != "-text":
            waiting.append((node, False))
            children = [each for each in node.iter(include_text=True) if each.tag not in _SILENT]
            waiting += [(each, True) for each in reversed(children)]


def _by_pattern(document: str) -> str:
    said = html.unescape(_TAG.sub("\n", "\n".join(_aloud(document))))
    lines = (line.strip() for line in said.splitlines())
    return "".join(f"{line}\n" for line in lines if line)


def _aloud(document: str) -> Iterator[str]:
    """Yield what stands outside of scripts and styles; one that is not closed is none."""
    done, opened = 0, -1
    for edge in _EDGE.finditer(document):
        if not edge[1]:
            opened = edge.start() if opened < 0 else opened
        elif opened >= 0:
            yield document[done:opened]
            done, opened = edge.end(), -1
    yield document[done:]


class _Scribe:
    """Writes lines as elements begin and end."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line = ""
        self._gap = False  # an empty line is wanted before the next one
        self._margin: list[str] = []  # what each line begins with, by the elements around
        self._quoted = 0  # how deep the last line is quoted
        self._mark = ""  # a list item's, for its first line
        self._numbers: list[int | None] = []  # of the lists around; None: bullets
        self._preformatted = 0

    def text(self) -> str:
        self._end()
        return "".join(f"{line}\n" for line in self._lines)

    # Elements.

    def enter(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag == "-text":
            self._say(node.text_content or "")
        elif tag in _BLOCKS:
            self._end(gap=tag in _APART)
            self._open(tag)
        elif tag == "br":
            self._break()
        elif tag == "img" and (alt := _flat(node.attributes.get("alt"))):
            self._say(f"[{alt}]")
        elif tag in ("td", "th") and self._line.strip():
            self._line += "  "

    def leave(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag in _BLOCKS:
            self._end(gap=tag in _APART)
            self._close(tag)
        elif tag == "a":
            self._link(node)

    def _open(self, tag: str) -> None:
        if tag in ("ul", "ol"):
            self._numbers.append(0 if tag == "ol" else None)
        elif tag == "li":
            self._mark = self._next_mark()
            self._margin.append(" " * len(self._mark))
        elif tag == "blockquote":
            self._margin.append("> ")
        elif tag == "pre":
            self._preformatted += 1
        elif tag == "hr":
            self._say("-" * 40)

    def _close(self, tag: str) -> None:
        if tag in ("ul", "ol") and self._numbers:
            self._numbers.pop()
            self._gap = not self._numbers
        elif tag in ("li", "blockquote") and self._margin:
            self._margin.pop()
            self._mark = ""
        elif tag == "pre":
            self._preformatted -= 1

    def _next_mark(self) -> str:
        if not self._numbers or self._numbers[-1] is None:
            return "- "
        self._numbers[-1] += 1
        return f"{self._numbers[-1]}. "

    def _link(self, node: LexborNode) -> None:
        href = _flat(node.attributes.get("href"))
        said = _flat(node.text())
        bare = href.removeprefix("mailto:").removeprefix("tel:")
        if href.lower().startswith(_SHOWN) and said not in (href, bare):
            self._say(f" <{href}>" if said else f"<{href}>")

    # Lines.

    def _say(self, said: str) -> None:
        if self._preformatted:
            first, *rest = said.replace("\r\n", "\n").split("\n")
            self._line += first
            for line in rest:
                self._break()
                self._line = line
            return
        said = _BLANKS.sub(" ", said)
        self._line += said[1:] if said.startswith(" ") and self._line[-1:] in ("", " ") else said

    def _break(self) -> None:
        self._write(self._line)
        self._line = ""

    def _end(self, *, gap: bool = False) -> None:
        if self._line.strip():
            self._break()
        self._line = ""
        self._gap |= gap and not (self._numbers and not self._preformatted)

    def _write(self, line: str) -> None:
        margin, quoted = "".join(self._margin), self._margin.count("> ")
        if self._gap and self._lines:
            self._lines.append(("> " * min(quoted, self._quoted)).rstrip())
        self._gap, self._quoted = False, quoted
        if self._mark and self._margin:
            margin = "".join(self._margin[:-1]) + self._mark
            self._mark = ""
        ended = " " if line == SIGNATURE else ""
        self._lines.append((margin + line).rstrip() + ended)


def _flat(text: str | None) -> str:
    return " ".join((text or "").split())
