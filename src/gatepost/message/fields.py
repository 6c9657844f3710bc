"""Writes header fields: folded at 76 octets, in ASCII by RFC 2047 and RFC 2231, addresses as they are.

The standard library's own folding is not used: it breaks long addresses and names with odd blanks apart.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

LINE = 76
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")
_QUOTABLE = re.compile(r"[ -~]*\Z")
_PLAIN = re.compile(r"[!-~]{1,76}(?: [!-~]{1,76})*\Z")
_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")  # RFC 2047 5 (3)
_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`{|}~")  # RFC 2231 7
_WORD_Q = 52  # characters between =?utf-8?q? and ?=, so that a word fits beside a field's name
_WORD_B = 39  # octets that base64 makes 52 characters of
_SECTION = 50  # characters of a parameter's value in one line


def fold(name: str, pieces: Iterable[str]) -> str:
    """Return a field of pieces that stand a blank apart; lines are broken between them alone."""
    lines = [f"{name}:"]
    for piece in pieces:
        if len(lines[-1]) + 1 + len(piece) > LINE and lines[-1].strip() not in ("", f"{name}:"):
            lines.append("")
        lines[-1] += f" {piece}"
    return "\r\n".join(lines) + "\r\n"


def date(at: int) -> str:
    """Return a point in time, in epoch milliseconds, as fields tell it."""
    return _date(at // 1000)


@lru_cache(maxsize=16)
def _date(seconds: int) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC))


def text(name: str, value: str) -> str:
    """Return an unstructured field (Subject and the like)."""
    plain = _PLAIN.match(value) and "=?" not in value
    return fold(name, value.split(" ") if plain else list(_words(value)))


def addresses(name: str, boxes: Sequence[tuple[str, str]]) -> str:
    """Return a field of mailboxes, each a display name ("" for none) and an address."""
    pieces: list[str] = []
    for number, (shown, address) in enumerate(boxes, 1):
        comma = "," if number < len(boxes) else ""
        shown = shown.strip()
        pieces += [*_phrase(shown), f"<{address}>{comma}"] if shown else [f"{address}{comma}"]
    return fold(name, pieces)


def _phrase(shown: str) -> Iterable[str]:
    if "=?" not in shown and len(shown) <= LINE - 12 and _QUOTABLE.match(shown):
        return shown.split(" ") if _ATOMS.match(shown) else [f'"{_escaped(shown)}"']
    return _words(shown)


def _words(value: str) -> Iterator[str]:
    """Yield encoded words; the blanks between them do not count (RFC 2047 6.2). An empty text has none."""
    quoted = len(_quoted(value)) <= len(b64encode(value.encode()))
    size, most = (_quoted_size, _WORD_Q) if quoted else (_octets, _WORD_B)
    start = length = 0
    for at, char in enumerate(value):
        length += size(char)
        if length > most:
            yield _word(value[start:at], quoted)
            start, length = at, size(char)
    if value:
        yield _word(value[start:], quoted)


def _word(piece: str, quoted: bool) -> str:
    return f"=?utf-8?q?{_quoted(piece)}?=" if quoted else f"=?utf-8?b?{b64encode(piece.encode()).decode()}?="


def _quoted(piece: str) -> str:
    coded = (char if char in _BARE else "_" if char == " " else _hex(char, "=") for char in piece)
    return "".join(coded)


def _quoted_size(char: str) -> int:
    return 1 if char in _BARE or char == " " else 3 * _octets(char)


def _octets(char: str) -> int:
    return len(char.encode())


def _hex(char: str, mark: str) -> str:
    return "".join(f"{mark}{octet:02X}" for octet in char.encode())


def _escaped(value: str) -> str:
    return re.sub(r'(["\\])', r"\\\1", value)


def parameter(name: str, value: str) -> list[str]:
    """Return a parameter as pieces of a field: quoted where it is short ASCII, else by RFC 2231."""
    if _QUOTABLE.match(value) and len(value) <= _SECTION and "=?" not in value:
        return [f'{name}="{_escaped(value)}"']
    sections = list(_sections(value))
    if len(sections) == 1:
        return [f"{name}*=utf-8''{sections[0]}"]
    start = [f"{name}*0*=utf-8''{sections[0]};"]
    rest = [f"{name}*{number}*={section};" for number, section in enumerate(sections[1:], 1)]
    return [*start, *rest[:-1], rest[-1].removesuffix(";")]


def _sections(value: str) -> Iterator[str]:
    section = ""
    for char in value:
        coded = char if char in _SAFE else _hex(char, "%")
        if len(section) + len(coded) > _SECTION:
            yield section
            section = ""
        section += coded
    yield section
